"""The simulated subject and its speech."""
