"""What a training is: the recipe as data, what it learns from, and those with names."""
