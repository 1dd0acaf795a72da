"""Which masking and which motion settings teach most: short trials, judged on validation cases."""
