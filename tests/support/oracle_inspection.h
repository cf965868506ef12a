// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How the parts of the oracle work together; for oracle*.cpp only.
#pragma once

#include <algorithm>

#include "support/oracle.h"

namespace anycast::test::oracle {

// Bytes of the packet; reading outside is a bug of the oracle, and throws.
class View {
public:
	explicit View(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

	[[nodiscard]] std::size_t size() const { return bytes_.size(); }
	[[nodiscard]] bool empty() const { return bytes_.empty(); }
	[[nodiscard]] std::uint8_t u8(std::size_t at) const;
	[[nodiscard]] std::uint16_t u16(std::size_t at) const;
	[[nodiscard]] std::uint32_t u32(std::size_t at) const;
	[[nodiscard]] View from(std::size_t at) const;
	[[nodiscard]] View first(std::size_t length) const;
	[[nodiscard]] bool equals(const View &other) const;
	[[nodiscard]] std::vector<std::uint8_t> copy() const
	{
		return {bytes_.begin(), bytes_.end()};
	}

private:
	std::span<const std::uint8_t> bytes_;
};

class Inspection {
public:
	Inspection(const GuardRules &rules, const GuardSessions &sessions, GuardVerdict &result)
		: rules_(rules), sessions_(sessions), result_(result)
	{
	}

	// A rule is broken. True: it drops, and inspection is over.
	[[nodiscard]] bool drops(ax_reason rule);
	[[nodiscard]] bool drops_if(bool broken, ax_reason rule) { return broken && drops(rule); }
	// The same for address rules.
	[[nodiscard]] bool drops_address(bool broken, ax_reason rule);
	// A rule is broken that leaves nothing to go on with; whatever its action, inspection is
	// over.
	void ends(ax_reason rule);
	[[nodiscard]] bool is_off(ax_reason rule) const
	{
		return rules_.action[rule] == AX_ACTION_OFF;
	}
	// Nothing dropped the packet, and it could be read to its end.
	[[nodiscard]] bool goes_on() const
	{
		return result_.verdict == AX_CONTINUE && result_.seen == Seen::kIp;
	}
	[[nodiscard]] const GuardSessions &sessions() const { return sessions_; }
	[[nodiscard]] GuardVerdict &result() { return result_; }

private:
	const GuardRules &rules_;
	const GuardSessions &sessions_;
	GuardVerdict &result_;
};

enum class Piece { kWhole, kFirst, kLater };

// What the layers above IP need to know.
struct Upper {
	int family = 4;
	std::uint8_t protocol = 0;
	Piece piece = Piece::kWhole;
	bool fragment_header = false; // IPv6: there is one, be it an atomic one (RFC 6946)
	std::uint8_t hop_limit = 0;
};

void inspect_ip4(Inspection &in, View packet);			 // from the IPv4 header on
void inspect_ip6(Inspection &in, View packet);			 // from the IPv6 header on
void inspect_upper(Inspection &in, const Upper &ip, View upper); // to the packet's end
// What was found right, from `source` to `destination`: too far away for a neighbour?
void inspect_session(Inspection &in, const Upper &ip, View source, View destination, View upper);

} // namespace anycast::test::oracle
