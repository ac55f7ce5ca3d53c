"""Whom the events are about: the same fictitious person as in people.js."""

NAME = "Marla Quillfeather"
EMAIL = "marla.quillfeather@example.com"
PHONE = "+1-202-555-0143"
USER_ID = "user-quillfeather-1001"
ANONYMOUS_ID = "6e0f2f3c-9a51-4c8e-8d0b-quillfeather"
IP = "203.0.113.41"
PAGE = "https://shop.example/item?email=marla.quillfeather%40example.com&utm_source=news"
