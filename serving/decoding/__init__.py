"""Decodes what callers send in processes of their own, with limits on memory and time; see `decoders`."""
