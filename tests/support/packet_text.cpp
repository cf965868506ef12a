// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Packets as hexadecimal text, both ways.
#include "support/packet.h"

#include <ostream>
#include <stdexcept>

namespace anycast::test {

namespace {

std::string hex_byte(std::uint8_t byte)
{
	static constexpr char kDigits[] = "0123456789abcdef";
	return {kDigits[byte >> 4], kDigits[byte & 15]};
}

int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	throw std::invalid_argument(std::string("not a hexadecimal digit: ") + c);
}

} // namespace

Packet Packet::from_hex(std::string_view hex)
{
	Raw raw;
	int high = -1;
	for (const char c : hex) {
		if (c == ' ' || c == '\n' || c == '\t' || c == ':')
			continue;
		if (high < 0) {
			high = digit(c);
		} else {
			raw.bytes.push_back(static_cast<std::uint8_t>(high << 4 | digit(c)));
			high = -1;
		}
	}
	if (high >= 0)
		throw std::invalid_argument("odd number of hexadecimal digits");
	return raw;
}

std::string Packet::hex() const
{
	std::string out;
	for (const std::uint8_t byte : bytes_)
		out += hex_byte(byte);
	return out;
}

std::string Packet::dump() const
{
	std::string out;
	for (std::size_t i = 0; i < bytes_.size(); ++i) {
		if (i % 16 == 0) {
			out += i == 0 ? "" : "\n";
			out += hex_byte(static_cast<std::uint8_t>(i >> 8));
			out += hex_byte(static_cast<std::uint8_t>(i)) + ' ';
		}
		out += ' ' + hex_byte(bytes_[i]);
	}
	return out;
}

std::ostream &operator<<(std::ostream &out, const Packet &packet)
{
	return out << packet.size() << " bytes\n" << packet.dump();
}

} // namespace anycast::test
