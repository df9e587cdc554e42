"""What operators may ask of a bridge, on the port that is theirs."""
