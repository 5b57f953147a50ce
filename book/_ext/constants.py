"""What several parts of the site must agree on."""

#: The book's languages, the first one first: code -> what a switch calls it.
LANGUAGES = {"ko": "한국어", "en": "English"}
#: Stands for the repository's address until `make url` writes the real one.
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
