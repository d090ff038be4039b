"""What a frame costs."""
