"""Using a trained model: predictions, forecasts, text, and exports for other programs."""
