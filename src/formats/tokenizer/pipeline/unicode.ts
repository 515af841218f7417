/**
 * Characters that newer versions of Unicode gave a property, and that tokenizers 0.23 does not know yet: its normalizers and its
 * pre-tokenizers for punctuation have tables of Unicode 8 to 10. Ranges in hexadecimal, which may span characters that do not have
 * the property in any version. Made by comparing every character with the library.
 */
const later: Readonly<
  Record<"accents" | "marks" | "punctuation" | "control" | "NFC" | "NFD" | "NFKC" | "NFKD", string>
> = {
  accents:
    "7fd 897-8e1 9fe afa-aff b55 c04-c3c d00 d3b-d3c d81 eba ece 180f-1886 1abf-1aeb 1df6-1dfb a82c a8c5 a8ff a9bd " +
    "10d24-10d6d 10eab-10f85 11070-11074 110c2 111c9 111cf 1123e-11241 1133b 113bb-1145e 1182f-11d97 11ef3-11f5a " +
    "13440-13455 1611e-1612f 16f4f 16fe4 1cf00-1cf46 1e000-1e136 1e2ae-1e2ef 1e4ec-1e6f5 1e944-1e94a",
  marks:
    "7fd 897-8d3 9fe afa-aff b55 c04-c3c cf3-d00 d3b-d3c d81 eba ece 1715 180f 1abf-1aeb 1cf7 1df6-1dfa a82c a8ff " +
    "10d24-10d6d 10eab-10f85 11070-11074 110c2 11145-11146 111c9 111ce-111cf 11241 1133b 113b8-113e2 1145e " +
    "1182c-11b67 11d31-11d97 11ef3-11f5a 13440-13455 1611e-1612f 16f4f 16f7f-16f87 16fe4-16ff1 1cf00-1cf46 " +
    "1e08f-1e136 1e2ae-1e2ef 1e4ec-1e6f5",
  punctuation:
    "61d 9fd-a76 c77-c84 1b4e-1b4f 1b7d-1b7f 2e43-2e5d 10d6e 10ead-10f89 113d4-1145d 11660-116b9 1183b-11c71 " +
    "11ef7-11fff 12ff1-12ff2 16d6d-16e9a 16fe2 1e5ff 1e95e-1e95f",
  control: "890-8e2 110cd 13430-1343f",
  NFC: "",
  NFD: "105c9-105e4 11383-113c8 11938 16121-16128 16d68-16d6a",
  NFKC: "32ff a7f1-a7f4 ab69 10781-107ba 1ccd6-1ccf9 1e030-1e06d 1f16c 1fbf0-1fbf9",
  NFKD:
    "32ff a7f1-a7f4 ab69 105c9-105e4 10781-107ba 11383-113c8 11938 16121-16128 16d68-16d6a 1ccd6-1ccf9 1e030-1e06d " +
    "1f16c 1fbf0-1fbf9",
};

/** The inside of a character class of those characters. */
export function laterCharacters(property: keyof typeof later): string {
  return later[property].replace(/([0-9a-f]+)/g, "\\u{$1}").replaceAll(" ", "");
}
