// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/bgp.h"

#include <charconv>
#include <span>

#include <fmt/format.h>

namespace anycast {

namespace {

// "a:b:c", as many numbers as there are places, each within `max`.
bool parse_numbers(std::string_view text, std::uint64_t max, std::span<std::uint32_t *const> places)
{
	const char *at = text.data(), *const end = at + text.size();
	for (std::size_t i = 0; i < places.size(); i++) {
		if (i > 0 && (at == end || *at++ != ':'))
			return false;
		const auto [next, error] = std::from_chars(at, end, *places[i]);
		if (error != std::errc() || *places[i] > max)
			return false;
		at = next;
	}
	return at == end;
}

} // namespace

std::optional<Community> Community::parse(std::string_view text)
{
	Community community;
	std::uint32_t *const places[] = {&community.asn, &community.value};
	return parse_numbers(text, 0xffff, places) ? std::optional(community) : std::nullopt;
}

std::string Community::text() const
{
	return fmt::format("{}:{}", asn, value);
}

std::optional<LargeCommunity> LargeCommunity::parse(std::string_view text)
{
	LargeCommunity community;
	std::uint32_t *const places[] = {&community.asn, &community.first, &community.second};
	return parse_numbers(text, 0xffffffff, places) ? std::optional(community) : std::nullopt;
}

std::string LargeCommunity::text() const
{
	return fmt::format("{}:{}:{}", asn, first, second);
}

} // namespace anycast
