"""A few frames of what is kept, and of what is not for every reason, that everybody may look at."""
