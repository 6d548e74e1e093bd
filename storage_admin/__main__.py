"""``python -m storage_admin``."""

from storage_admin.cli import main

if __name__ == "__main__":
    main()
