"""The live-query bridge: live queries over gRPC on one side, browsers on the other."""
