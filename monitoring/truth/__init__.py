"""What the answers were worth, once people have said so: labels that come late, and what can be said before they do."""
