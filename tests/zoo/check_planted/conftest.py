"""The planted files are students' work, not modules of ours: they are graded, not collected."""

collect_ignore = ["right", "wrong"]
