// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Reads a TOML table key by key and gathers every complaint with its place, so that a user sees all
// mistakes of a file at once.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Built into our own toml_impl.cpp: the library's shared object has exceptions on.
#define TOML_HEADER_ONLY 0
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// "[[[" trips its assertions, and it reports the error itself right behind them.
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

#include "config/names.h"
#include "core/address.h"
#include "core/prefix.h"

namespace anycast {

struct Where {
	std::uint32_t line = 1, column = 1;
	auto operator<=>(const Where &) const = default;
};

Where where(const toml::source_region &region);

template <typename T> struct Placed {
	T value;
	Where at;
};

class Diagnostics {
public:
	explicit Diagnostics(std::string_view source) : source_(source) {}

	void error(Where at, std::string message);
	void warn(Where at, std::string message);
	[[nodiscard]] std::size_t error_count() const { return errors_.size(); }
	[[nodiscard]] std::string errors() const; // in the file's order, one a line
	[[nodiscard]] std::vector<std::string> warnings() const;
	void asked_for(std::string key) { asked_.insert(std::move(key)); }
	[[nodiscard]] const std::set<std::string> &asked() const { return asked_; }

private:
	[[nodiscard]] std::vector<std::string> lines(std::vector<Placed<std::string>>) const;

	std::string source_;
	std::vector<Placed<std::string>> errors_, warnings_;
	std::set<std::string> asked_; // keys, whether they were there or not
};

// Absent keys and wrong values both give nullopt or an empty list; the latter are on record. What
// was never asked for is an unknown key, so ask for every key, whatever the others say.
class TableReader {
public:
	TableReader(const toml::table &table, std::string path, Where at, Diagnostics &diagnostics);

	std::optional<Placed<std::string>> string(std::string_view key);
	std::optional<Placed<std::int64_t>> integer(std::string_view key, std::int64_t min,
						    std::int64_t max);
	std::optional<Placed<bool>> boolean(std::string_view key);
	// "250ms", "1.5s", "2m", "1h".
	std::optional<Placed<Milliseconds>> duration(std::string_view key, Milliseconds min,
						     Milliseconds max);
	std::optional<Placed<Address>> address(std::string_view key);
	// "192.0.2.0/24", or an address alone.
	std::optional<Placed<Prefix>> prefix(std::string_view key);
	std::optional<Placed<int>> choice(std::string_view key, std::span<const Choice> choices);
	// Members of lists must differ.
	std::vector<Placed<std::string>> strings(std::string_view key);
	std::vector<Placed<std::int64_t>> integers(std::string_view key, std::int64_t min,
						   std::int64_t max);
	std::vector<std::string> words(std::string_view key); // these may repeat
	std::vector<Placed<Address>> addresses(std::string_view key);
	std::vector<Placed<int>> choices(std::string_view key, std::span<const Choice> choices);

	// Reads the sub-table `key`, or each table of the list `key`, with `read(TableReader &)`.
	template <typename Read> void section(std::string_view key, Read read)
	{
		if (std::optional<TableReader> reader = table(key)) {
			read(*reader);
			reader->complain_of_unknown_keys();
		}
	}
	template <typename Read> void each(std::string_view key, Read read)
	{
		for (TableReader &reader : tables(key)) {
			read(reader);
			reader.complain_of_unknown_keys();
		}
	}

	[[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
	[[nodiscard]] bool is_string(std::string_view key) const;
	[[nodiscard]] std::vector<Placed<std::string>> keys() const;
	[[nodiscard]] Where at() const { return at_; }
	[[nodiscard]] Where at(std::string_view key) const; // the value's, or else the table's
	Diagnostics &diagnostics() { return diagnostics_; }
	void missing(std::string_view key); // complains unless the key is there
	void complain_of_unknown_keys();

private:
	const toml::node *find(std::string_view key);
	std::optional<TableReader> table(std::string_view key);
	std::vector<TableReader> tables(std::string_view key);
	std::vector<const toml::node *> members(std::string_view key, std::string_view of_what);
	[[nodiscard]] std::string full(std::string_view key) const;
	void wrong_type(std::string_view key, const toml::node &node, std::string_view expected);
	std::optional<Placed<std::string>> as_string(std::string_view key, const toml::node &node);
	std::optional<Placed<std::int64_t>> as_integer(std::string_view key, const toml::node &node,
						       std::int64_t min, std::int64_t max);
	std::optional<Placed<Address>> as_address(std::string_view key, const toml::node &node);
	std::optional<Placed<int>> as_choice(std::string_view key, const toml::node &node,
					     std::span<const Choice> choices);
	template <typename T>
	void add_distinct(std::vector<Placed<T>> &list, std::string_view key,
			  std::optional<Placed<T>> member);

	const toml::table &table_;
	std::string path_; // "pools.backends", empty for the root
	Where at_;
	Diagnostics &diagnostics_;
	std::vector<std::string> known_;
};

} // namespace anycast
