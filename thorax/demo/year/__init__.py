"""A hospital's year in minutes: what happens in which week, what the watch says of it, and the page that tells it."""
