// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/reader.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/reasons.h"

namespace anycast {

namespace {

std::string_view with_article(toml::node_type type)
{
	switch (type) {
	case toml::node_type::table:
		return "a table";
	case toml::node_type::array:
		return "an array";
	case toml::node_type::string:
		return "a string";
	case toml::node_type::integer:
		return "an integer";
	case toml::node_type::floating_point:
		return "a float";
	case toml::node_type::boolean:
		return "a boolean";
	default:
		return "a date or time";
	}
}

} // namespace

Where where(const toml::source_region &region)
{
	// Tables that only a dotted name implies may have no place of their own.
	return region.begin ? Where{region.begin.line, region.begin.column} : Where{};
}

void Diagnostics::error(Where at, std::string message)
{
	errors_.push_back({std::move(message), at});
}

void Diagnostics::warn(Where at, std::string message)
{
	warnings_.push_back({std::move(message), at});
}

std::vector<std::string> Diagnostics::lines(std::vector<Placed<std::string>> messages) const
{
	std::ranges::stable_sort(messages, {}, &Placed<std::string>::at);
	std::vector<std::string> lines;
	for (const auto &[message, at] : messages) {
		lines.push_back(fmt::format("{}:{}:{}: {}", source_, at.line, at.column, message));
		// Quoted keys and values may hold line feeds and terminal controls.
		std::ranges::replace_if(
			lines.back(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
	}
	return lines;
}

std::string Diagnostics::errors() const
{
	return fmt::format("{}", fmt::join(lines(errors_), "\n"));
}

std::vector<std::string> Diagnostics::warnings() const
{
	return lines(warnings_);
}

TableReader::TableReader(const toml::table &table, std::string path, Where at,
			 Diagnostics &diagnostics)
	: table_(table), path_(std::move(path)), at_(at), diagnostics_(diagnostics)
{
}

std::string TableReader::full(std::string_view key) const
{
	return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const toml::node *TableReader::find(std::string_view key)
{
	known_.emplace_back(key);
	diagnostics_.asked_for(full(key));
	return table_.get(key);
}

Where TableReader::at(std::string_view key) const
{
	const toml::node *node = table_.get(key);
	return node != nullptr ? where(node->source()) : at_;
}

bool TableReader::is_string(std::string_view key) const
{
	const toml::node *node = table_.get(key);
	return node != nullptr && node->is_string();
}

std::vector<Placed<std::string>> TableReader::keys() const
{
	std::vector<Placed<std::string>> keys;
	for (const auto &[key, node] : table_)
		keys.push_back({std::string(key.str()), where(key.source())});
	return keys;
}

void TableReader::missing(std::string_view key)
{
	if (!has(key))
		diagnostics_.error(at_, fmt::format("{} is missing", full(key)));
}

void TableReader::complain_of_unknown_keys()
{
	for (const auto &[key, at] : keys()) {
		if (std::ranges::find(known_, key) != known_.end() || known_.empty())
			continue;
		const auto nearest =
			std::ranges::min_element(known_, {}, [&](const std::string &known) {
				return edit_distance(key, known);
			});
		diagnostics_.error(at, fmt::format("unknown key {}; the nearest known one is {}",
						   full(key), full(*nearest)));
	}
}

void TableReader::wrong_type(std::string_view key, const toml::node &node,
			     std::string_view expected)
{
	diagnostics_.error(where(node.source()), fmt::format("{}: expected {}, not {}", full(key),
							     expected, with_article(node.type())));
}

std::optional<Placed<std::string>> TableReader::as_string(std::string_view key,
							  const toml::node &node)
{
	if (const auto value = node.value_exact<std::string>())
		return Placed<std::string>{*value, where(node.source())};
	wrong_type(key, node, "a string");
	return std::nullopt;
}

std::optional<Placed<Address>> TableReader::as_address(std::string_view key, const toml::node &node)
{
	const auto text = as_string(key, node);
	if (!text)
		return std::nullopt;
	if (const auto address = Address::parse(text->value))
		return Placed<Address>{*address, text->at};
	diagnostics_.error(text->at, fmt::format("{}: \"{}\" is no IPv4 or IPv6 address", full(key),
						 text->value));
	return std::nullopt;
}

std::optional<Placed<int>> TableReader::as_choice(std::string_view key, const toml::node &node,
						  std::span<const Choice> choices)
{
	const auto text = as_string(key, node);
	if (!text)
		return std::nullopt;
	std::vector<std::string_view> words;
	for (const Choice &choice : choices) {
		if (choice.word == text->value)
			return Placed<int>{choice.value, text->at};
		words.push_back(choice.word);
	}
	diagnostics_.error(text->at, fmt::format("{}: \"{}\" is none of {}", full(key), text->value,
						 fmt::join(words, ", ")));
	return std::nullopt;
}

std::optional<Placed<std::string>> TableReader::string(std::string_view key)
{
	const toml::node *node = find(key);
	return node != nullptr ? as_string(key, *node) : std::nullopt;
}

std::optional<Placed<bool>> TableReader::boolean(std::string_view key)
{
	const toml::node *node = find(key);
	if (node == nullptr)
		return std::nullopt;
	if (const auto value = node->value_exact<bool>())
		return Placed<bool>{*value, where(node->source())};
	wrong_type(key, *node, "true or false");
	return std::nullopt;
}

std::optional<Placed<Address>> TableReader::address(std::string_view key)
{
	const toml::node *node = find(key);
	return node != nullptr ? as_address(key, *node) : std::nullopt;
}

std::optional<Placed<Prefix>> TableReader::prefix(std::string_view key)
{
	const auto text = string(key);
	if (!text)
		return std::nullopt;
	const auto prefix = Prefix::parse(text->value);
	if (!prefix) {
		const bool long_one = text->value.find('/') != std::string::npos;
		diagnostics_.error(text->at,
				   fmt::format("{}: \"{}\" is no IPv4 or IPv6 {}", full(key),
					       text->value, long_one ? "prefix" : "address"));
		return std::nullopt;
	}
	const Prefix masked = prefix_of(prefix->address, prefix->bits);
	if (masked != *prefix) {
		diagnostics_.error(text->at,
				   fmt::format("{}: \"{}\" has bits behind the prefix; {} is the "
					       "prefix, {} the address alone",
					       full(key), text->value, masked.text(),
					       prefix->address.text()));
		return std::nullopt;
	}
	return Placed<Prefix>{*prefix, text->at};
}

std::optional<Placed<int>> TableReader::choice(std::string_view key,
					       std::span<const Choice> choices)
{
	const toml::node *node = find(key);
	return node != nullptr ? as_choice(key, *node, choices) : std::nullopt;
}

std::optional<Placed<std::int64_t>> TableReader::as_integer(std::string_view key,
							    const toml::node &node,
							    std::int64_t min, std::int64_t max)
{
	const auto value = node.value_exact<std::int64_t>();
	if (!value) {
		wrong_type(key, node, "an integer");
		return std::nullopt;
	}
	if (*value < min || *value > max) {
		diagnostics_.error(where(node.source()), fmt::format("{}: {} is not in {}..{}",
								     full(key), *value, min, max));
		return std::nullopt;
	}
	return Placed<std::int64_t>{*value, where(node.source())};
}

std::optional<Placed<std::int64_t>> TableReader::integer(std::string_view key, std::int64_t min,
							 std::int64_t max)
{
	const toml::node *node = find(key);
	return node != nullptr ? as_integer(key, *node, min, max) : std::nullopt;
}

std::optional<Placed<Milliseconds>> TableReader::duration(std::string_view key, Milliseconds min,
							  Milliseconds max)
{
	const auto text = string(key);
	if (!text)
		return std::nullopt;
	const auto value = parse_duration(text->value);
	if (value && *value >= min && *value <= max)
		return Placed<Milliseconds>{*value, text->at};
	diagnostics_.error(text->at,
			   value ? fmt::format("{}: \"{}\" is not in {}..{}", full(key),
					       text->value, duration_text(min), duration_text(max))
				 : fmt::format("{}: \"{}\" is no time such as \"250ms\", \"1.5s\", "
					       "\"2m\", \"1h\"",
					       full(key), text->value));
	return std::nullopt;
}

std::vector<const toml::node *> TableReader::members(std::string_view key, std::string_view of_what)
{
	std::vector<const toml::node *> nodes;
	const toml::node *node = find(key);
	if (node == nullptr)
		return nodes;
	if (const toml::array *array = node->as_array()) {
		for (const toml::node &member : *array)
			nodes.push_back(&member);
	} else {
		wrong_type(key, *node, fmt::format("an array of {}", of_what));
	}
	return nodes;
}

template <typename T>
void TableReader::add_distinct(std::vector<Placed<T>> &list, std::string_view key,
			       std::optional<Placed<T>> member)
{
	if (!member)
		return;
	if (std::ranges::find(list, member->value, &Placed<T>::value) != list.end())
		diagnostics_.error(member->at, fmt::format("{}: listed twice", full(key)));
	else
		list.push_back(std::move(*member));
}

std::vector<Placed<std::string>> TableReader::strings(std::string_view key)
{
	std::vector<Placed<std::string>> list;
	for (const toml::node *node : members(key, "strings"))
		add_distinct(list, key, as_string(key, *node));
	return list;
}

std::vector<Placed<std::int64_t>> TableReader::integers(std::string_view key, std::int64_t min,
							std::int64_t max)
{
	std::vector<Placed<std::int64_t>> list;
	for (const toml::node *node : members(key, "integers"))
		add_distinct(list, key, as_integer(key, *node, min, max));
	return list;
}

std::vector<std::string> TableReader::words(std::string_view key)
{
	std::vector<std::string> list;
	for (const toml::node *node : members(key, "strings"))
		if (const auto word = as_string(key, *node))
			list.push_back(word->value);
	return list;
}

std::vector<Placed<Address>> TableReader::addresses(std::string_view key)
{
	std::vector<Placed<Address>> list;
	for (const toml::node *node : members(key, "addresses"))
		add_distinct(list, key, as_address(key, *node));
	return list;
}

std::vector<Placed<int>> TableReader::choices(std::string_view key, std::span<const Choice> choices)
{
	std::vector<Placed<int>> list;
	for (const toml::node *node : members(key, "strings"))
		add_distinct(list, key, as_choice(key, *node, choices));
	return list;
}

std::optional<TableReader> TableReader::table(std::string_view key)
{
	const toml::node *node = find(key);
	if (node == nullptr)
		return std::nullopt;
	if (const toml::table *table = node->as_table())
		return TableReader(*table, full(key), where(node->source()), diagnostics_);
	wrong_type(key, *node, fmt::format("a table, [{}]", full(key)));
	return std::nullopt;
}

std::vector<TableReader> TableReader::tables(std::string_view key)
{
	std::vector<TableReader> readers;
	const std::string expected = fmt::format("tables, [[{}]]", full(key));
	for (const toml::node *node : members(key, expected)) {
		if (const toml::table *table = node->as_table())
			readers.emplace_back(*table, full(key), where(node->source()),
					     diagnostics_);
		else
			wrong_type(key, *node, "a table");
	}
	return readers;
}

} // namespace anycast
