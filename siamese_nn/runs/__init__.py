"""What a training leaves: a folder, its files, its page."""
