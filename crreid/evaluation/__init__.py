"""From embeddings and distances to scores: ranking, protocols, distances."""
