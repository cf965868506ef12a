// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/table.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace anycast::render {

namespace {

// Code points, not bytes: names in the configuration may be UTF-8.
std::size_t width(std::string_view text)
{
	return static_cast<std::size_t>(
		std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

} // namespace

void Table::row(std::vector<std::string> cells)
{
	cells.resize(columns_.size());
	for (std::string &cell : cells)
		if (cell.empty())
			cell = "-";
	rows_.push_back(std::move(cells));
}

std::string Table::text(std::size_t indent) const
{
	std::vector<std::size_t> widths;
	for (std::size_t i = 0; i < columns_.size(); i++) {
		widths.push_back(width(columns_[i].title));
		for (const auto &row : rows_)
			widths[i] = std::max(widths[i], width(row[i]));
	}

	std::string out;
	const auto line = [&](auto &&cell) {
		std::string text(indent, ' ');
		for (std::size_t i = 0; i < columns_.size(); i++) {
			const std::string &value = cell(i);
			const std::string blanks(widths[i] - width(value), ' ');
			if (i != 0)
				text += "  ";
			text += columns_[i].align == Align::kRight ? blanks + value
								   : value + blanks;
		}
		text.erase(text.find_last_not_of(' ') + 1);
		out += text + '\n';
	};
	line([&](std::size_t i) -> const std::string & { return columns_[i].title; });
	for (const auto &row : rows_)
		line([&](std::size_t i) -> const std::string & { return row[i]; });
	return out;
}

std::string bytes_text(std::uint64_t bytes)
{
	constexpr std::array kUnits{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	if (bytes < 1024)
		return fmt::format("{} B", bytes);
	double value = static_cast<double>(bytes) / 1024;
	std::size_t unit = 0;
	while (value >= 1023.95 && unit + 1 < kUnits.size()) {
		value /= 1024;
		unit++;
	}
	return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string percent_text(double share)
{
	const double percent = share * 100;
	return fmt::format("{:.{}f} %", percent, percent != 0 && percent < 1 ? 3 : 1);
}

std::string duration_text(std::uint64_t microseconds)
{
	if (microseconds < 1000)
		return fmt::format("{} us", microseconds);
	const double ms = static_cast<double>(microseconds) / 1000;
	if (ms < 999.95)
		return fmt::format("{:.1f} ms", ms);
	if (ms < 119950)
		return fmt::format("{:.1f} s", ms / 1000);
	return fmt::format("{:.0f} min", ms / 60000);
}

std::string rtt_text(std::uint32_t microseconds)
{
	return microseconds == 0 ? "<64 us" : duration_text(microseconds);
}

std::string hex_text(std::uint64_t value)
{
	return fmt::format("{:016x}", value);
}

std::string count_text(std::uint64_t count, std::string_view one)
{
	return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string more_text(std::size_t shown, std::size_t total)
{
	return shown >= total ? ""
			      : fmt::format("... {} more (--limit 0 shows all)\n", total - shown);
}

} // namespace anycast::render
