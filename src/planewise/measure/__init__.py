"""What is in label volumes, in numbers."""
