"""What a certificate is: pure definitions that every other room builds on. No torch, no engine."""
