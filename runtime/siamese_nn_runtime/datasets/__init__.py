"""As `siamese_nn.datasets`, of which photo files are here."""
