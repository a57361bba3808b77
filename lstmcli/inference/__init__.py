"""Using a trained model: what it writes, predicts and forecasts, and the same model elsewhere."""
