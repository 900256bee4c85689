"""What is done to a trained model on its way into the deployed graph."""
