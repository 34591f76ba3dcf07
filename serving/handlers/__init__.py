"""What TorchServe loads: one class a file, protocol only."""
