"""How much a mel band varies that holds sound."""

# A band that varies less over the training frames holds no sound (the top of a recording at 8 kHz): its mean
# is its prediction, and it takes no part in losses and scores.
ACTIVE_STD_NATS = 0.1
