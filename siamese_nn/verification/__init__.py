"""A trained model as a tool: verify, identify, cluster."""
