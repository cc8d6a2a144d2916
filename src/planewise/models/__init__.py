"""The 2D networks, their losses, and the files that they are loaded from and saved to."""
