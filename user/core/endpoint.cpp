// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/endpoint.h"

#include <charconv>

#include <fmt/format.h>

namespace anycast {

std::optional<Endpoint> Endpoint::parse(std::string_view text)
{
	const std::size_t colon = text.rfind(':');
	if (colon == text.npos)
		return std::nullopt;
	std::string_view address = text.substr(0, colon);
	const std::string_view port = text.substr(colon + 1);
	const bool bracketed = address.starts_with('[') && address.ends_with(']');
	if (bracketed)
		address = address.substr(1, address.size() - 2);
	const auto parsed = Address::parse(address);
	Endpoint endpoint;
	const auto [end, error] =
		std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
	if (!parsed || parsed->is_v4() == bracketed || error != std::errc() ||
	    end != port.data() + port.size())
		return std::nullopt;
	endpoint.address = *parsed;
	return endpoint;
}

std::string Endpoint::text() const
{
	return address.is_v4() ? fmt::format("{}:{}", address.text(), port)
			       : fmt::format("[{}]:{}", address.text(), port);
}

} // namespace anycast
