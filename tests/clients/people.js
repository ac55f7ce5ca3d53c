// Whom the events are about. All of them are fictitious.

export const marla = {
  name: "Marla Quillfeather", email: "marla.quillfeather@example.com", phone: "+1-202-555-0143",
  userId: "user-quillfeather-1001", anonymousId: "6e0f2f3c-9a51-4c8e-8d0b-quillfeather", ip: "203.0.113.41",
};

/** What must not be in a single byte that a collector gets. */
export const secrets = Object.fromEntries(Object.entries(marla).map(([field, value]) => [`marla.${field}`, value]));

/** Where Marla is: the address tells who she is. */
export const page = `https://shop.example/item?email=${encodeURIComponent(marla.email)}&utm_source=news`;
