"""Text: conversations, what can be read off their surface, and frozen language models."""
