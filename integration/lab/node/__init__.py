"""The nodes themselves, as far as SSH reaches them: a real ``sshd`` for each, with ``qm`` and ``pvesh`` behind it."""
