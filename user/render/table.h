// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Text tables with aligned columns, and numbers as people read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace anycast::render {

enum class Align { kLeft, kRight };

struct Column {
	std::string title;
	Align align = Align::kLeft;
};

class Table {
public:
	explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
	void row(std::vector<std::string> cells); // missing cells are empty, an empty one shows "-"
	[[nodiscard]] bool empty() const { return rows_.empty(); }
	// Two spaces between columns, no trailing blanks; `indent` spaces before each line.
	[[nodiscard]] std::string text(std::size_t indent = 0) const;

private:
	std::vector<Column> columns_;
	std::vector<std::vector<std::string>> rows_;
};

std::string bytes_text(std::uint64_t bytes);	       // "512 B", "1.5 KiB", "37.0 MiB"
std::string percent_text(double share);		       // 0.333 -> "33.3 %", 0.0004 -> "0.040 %"
std::string duration_text(std::uint64_t microseconds); // "750 us", "12.3 ms", "4.2 s", "3 min"
std::string rtt_text(std::uint32_t microseconds);      // "<64 us" below the unit it is kept in
std::string hex_text(std::uint64_t value);	       // 16 digits
std::string count_text(std::uint64_t count, std::string_view one); // "1 flow", "2 flows"

// Cuts what is longer than `limit` and says how much: "\n... 12 more (--limit 0 shows all)\n".
std::string more_text(std::size_t shown, std::size_t total);

} // namespace anycast::render
