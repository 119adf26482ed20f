"""Attribution: solutions side by side, a hint sentence by sentence, a solution token by token. No Qt."""
