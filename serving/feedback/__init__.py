"""Takes what people say of answers afterwards: labels (`POST /feedback`) and adverse results (`POST /adverse`)."""
