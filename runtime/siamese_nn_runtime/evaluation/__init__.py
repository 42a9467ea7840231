"""As `siamese_nn.evaluation`, of which scores and thresholds are here."""
