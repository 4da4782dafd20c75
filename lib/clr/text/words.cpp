// SPDX-License-Identifier: Apache-2.0
#include "clr/text/words.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace clr {
namespace {

enum class Kind : std::uint8_t { letter, space, alone, nothing };

bool is_ascii_punctuation(std::int32_t c) {
  return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
         (c >= 123 && c <= 126);
}

/// The blocks of ideographs that BERT names: not Hangul, not kana.
bool is_ideograph(std::int32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

Kind kind_of(std::int32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return Kind::space;
  if (c == 0xFFFD) return Kind::nothing;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
      return Kind::nothing;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return Kind::space;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return Kind::alone;
    default:
      return is_ascii_punctuation(c) || is_ideograph(c) ? Kind::alone : Kind::letter;
  }
}

struct Ascii {
  std::array<Kind, 128> kind;
  std::array<char, 128> lower;
};

const Ascii& ascii() {
  static const Ascii table = [] {
    Ascii made{};
    for (std::size_t c = 0; c < 128; ++c) {
      made.kind[c] = kind_of(static_cast<std::int32_t>(c));
      made.lower[c] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return made;
  }();
  return table;
}

/// Gathers characters to words.
class WordMaker {
 public:
  explicit WordMaker(const std::function<void(std::string_view)>& visit) : visit_(visit) {}

  void add(Kind kind, std::string_view bytes) {
    if (kind == Kind::letter) {
      word_ += bytes;
    } else if (kind != Kind::nothing) {
      end();
      if (kind == Kind::alone) visit_(bytes);
    }
  }

  void end() {
    if (!word_.empty()) visit_(word_);
    word_.clear();
  }

 private:
  const std::function<void(std::string_view)>& visit_;
  std::string word_;
};

void add_character(std::int32_t c, WordMaker& words) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto count = utf8proc_encode_char(c, bytes.data());
  words.add(kind_of(c),
            {reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(count)});
}

/// A run of characters that belong together, decomposed: marks may change places within it.
void add_without_accents(const std::string& run, WordMaker& words) {
  if (run.empty()) return;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(run.data());
  const auto size = static_cast<utf8proc_ssize_t>(run.size());
  std::vector<utf8proc_int32_t> characters(run.size() * 4);
  const auto count =
      utf8proc_decompose(bytes, size, characters.data(),
                         static_cast<utf8proc_ssize_t>(characters.size()), UTF8PROC_DECOMPOSE);
  characters.resize(static_cast<std::size_t>(std::max<utf8proc_ssize_t>(count, 0)));
  for (const std::int32_t c : characters) {
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) add_character(utf8proc_tolower(c), words);
  }
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    if (bytes[at] < 128) {
      ++at;
      continue;
    }
    utf8proc_int32_t c = 0;
    const auto count =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    if (count < 1) return at;
    at += static_cast<std::size_t>(count);
  }
  return std::nullopt;
}

void for_each_word(std::string_view text, bool lowercase,
                   const std::function<void(std::string_view)>& visit) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const Ascii& plain = ascii();
  WordMaker words(visit);
  std::string run;  // Of characters that are to be decomposed together.
  const auto end_run = [&] {
    add_without_accents(run, words);
    run.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const bool is_ascii = bytes[at] < 128;
    utf8proc_int32_t c = bytes[at];
    std::size_t count = 1;
    if (!is_ascii) {
      const auto length =
          utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
      if (length < 1) break;
      count = static_cast<std::size_t>(length);
    }
    const std::string_view character = text.substr(at, count);
    at += count;
    const Kind kind = is_ascii ? plain.kind[static_cast<std::size_t>(c)] : kind_of(c);
    if (kind == Kind::nothing) continue;
    if (!lowercase) {
      words.add(kind, character);
    } else if (!is_ascii && kind != Kind::space && !is_ideograph(c)) {
      run += character;
    } else {
      end_run();
      if (is_ascii) {
        words.add(kind, {&plain.lower[static_cast<std::size_t>(c)], 1});
      } else if (kind == Kind::alone) {
        // Compatibility ideographs decompose, too, but stay alone.
        words.end();
        add_without_accents(std::string(character), words);
        words.end();
      } else {
        words.add(kind, character);
      }
    }
  }
  end_run();
  words.end();
}

}  // namespace clr
