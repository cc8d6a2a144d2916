"""The 2D networks, their losses, and the files they are loaded from and saved to."""
