// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <set>

#include "support/oracle_inspection.h"

namespace anycast::test::oracle {

namespace {

constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kAuthentication = 51,
		       kNoNextHeader = 59, kDestination = 60;
constexpr std::uint8_t kPad1 = 0, kPadN = 1;
constexpr std::size_t kLongestPadding = 5; // with its two bytes: one less than the alignment
// The IANA list of extension headers, less ESP (50), behind which nothing can be read.
constexpr std::array<std::uint8_t, 8> kExtensions{
	kHopByHop, kRouting, kFragment, kAuthentication, kDestination, 135, 139, 140};

bool is_unspecified_or_loopback(View address, std::uint8_t last)
{
	for (std::size_t i = 0; i < 15; ++i)
		if (address.u8(i) != 0)
			return false;
	return address.u8(15) == last;
}

bool is_unspecified(View address)
{
	return is_unspecified_or_loopback(address, 0);
}

bool is_loopback(View address)
{
	return is_unspecified_or_loopback(address, 1);
}

bool is_v4_mapped(View address)
{
	return address.u32(0) == 0 && address.u32(4) == 0 && address.u32(8) == 0xffff;
}

bool addresses_drop(Inspection &in, View header)
{
	const View src = header.from(8).first(16), dst = header.from(24).first(16);
	return in.drops_address(src.u8(0) == 0xff || is_loopback(src) || is_v4_mapped(src),
				AX_R_IP6_SRC_MARTIAN) ||
	       in.drops_address(is_unspecified(dst) || is_loopback(dst) || is_v4_mapped(dst),
				AX_R_IP6_DST_MARTIAN) ||
	       in.drops_address(src.equals(dst), AX_R_IP6_LAND);
}

std::size_t extension_size(std::uint8_t kind, View rest)
{
	if (kind == kFragment)
		return 8; // its second byte is reserved, not a length
	if (kind == kAuthentication)
		return (rest.u8(1) + 2u) * 4; // RFC 4302 section 2.2
	return (rest.u8(1) + 1u) * 8;
}

// RFC 4942 section 2.1.9: padding is zeroes and no longer than alignment needs, and nothing is said
// twice. An option that runs beyond the header ends what can be read.
struct Oddities {
	bool padding = false, twice = false;
};

Oddities options_of(View options)
{
	Oddities found;
	std::set<std::uint8_t> seen;
	for (int count = 0; count < AX_IP6_OPTIONS && !options.empty(); ++count) {
		const std::uint8_t type = options.u8(0);
		if (type == kPad1) {
			options = options.from(1);
			continue;
		}
		if (options.size() < 2 || options.size() - 2 < options.u8(1))
			break;
		const View content = options.from(2).first(options.u8(1));
		if (type == kPadN) {
			found.padding |= content.size() > kLongestPadding;
			for (std::size_t i = 0; i < content.size(); ++i)
				found.padding |= content.u8(i) != 0;
		} else {
			found.twice |= !seen.insert(type).second;
		}
		options = options.from(2 + content.size());
	}
	return found;
}

bool options_drop(Inspection &in, View header)
{
	const Oddities found = options_of(header.from(2));
	return in.drops_if(found.padding, AX_R_IP6_OPTION_PADDING) ||
	       in.drops_if(found.twice, AX_R_IP6_OPTION_TWICE);
}

enum class Walk { kGoOn, kLastFragmentSeen, kOver };

Walk fragment_header(Inspection &in, Upper &ip, View rest)
{
	if (in.drops_if(ip.fragment_header, AX_R_IP6_FRAG_NESTED))
		return Walk::kOver;
	ip.fragment_header = true;
	const unsigned offset = rest.u16(2) >> 3;
	const bool mf = (rest.u16(2) & 1) != 0;
	if (offset == 0 && !mf)
		return Walk::kGoOn; // RFC 6946: atomic, a whole packet
	const std::size_t length = rest.size() - 8;
	if (in.drops_if(mf && (length % 8 != 0 || length == 0), AX_R_IP6_FRAG_LENGTH) ||
	    in.drops_if(offset * 8 + length > 65535, AX_R_IP6_FRAG_BEYOND))
		return Walk::kOver;
	ip.piece = offset == 0 ? Piece::kFirst : Piece::kLater;
	if (offset == 0)
		return Walk::kGoOn;
	if (in.drops_if(rest.u8(0) == 6 && offset == 1, AX_R_IP6_FRAG_OFFSET1))
		return Walk::kOver;
	return Walk::kLastFragmentSeen;
}

// Leaves the upper-layer protocol in `ip` and its bytes in `rest`; false: inspection is over.
bool walk_chain(Inspection &in, Upper &ip, View &rest)
{
	for (int headers = 0; std::ranges::find(kExtensions, ip.protocol) != kExtensions.end();
	     ++headers) {
		const std::uint8_t kind = ip.protocol;
		if (headers == AX_IP6_EXT_DEPTH) {
			in.ends(AX_R_IP6_EXT_TOO_MANY);
			return false;
		}
		if (rest.size() < 8 || rest.size() < extension_size(kind, rest)) {
			// RFC 7112 section 5: a first fragment must hold the whole chain.
			in.ends(ip.piece == Piece::kFirst ? AX_R_IP6_FRAG_NO_UPPER
							  : AX_R_IP6_EXT_TRUNCATED);
			return false;
		}
		if (in.drops_if(kind == kHopByHop && headers > 0, AX_R_IP6_HOPOPT_LATE))
			return false;
		const std::uint8_t type = rest.u8(2);
		if (in.drops_if(kind == kRouting && (type == 0 || type == 1 || type == 3),
				AX_R_IP6_ROUTING_TYPE))
			return false;
		if ((kind == kHopByHop || kind == kDestination) &&
		    options_drop(in, rest.first(extension_size(kind, rest))))
			return false;
		const Walk walk = kind == kFragment ? fragment_header(in, ip, rest) : Walk::kGoOn;
		if (walk == Walk::kOver)
			return false;
		ip.protocol = rest.u8(0);
		rest = rest.from(extension_size(kind, rest));
		if (walk == Walk::kLastFragmentSeen)
			return true;
	}
	return true;
}

} // namespace

void inspect_ip6(Inspection &in, View packet)
{
	if (packet.size() < 40)
		return in.ends(AX_R_IP6_TRUNCATED);
	if (packet.u8(0) >> 4 != 6)
		return in.ends(AX_R_IP6_VERSION);
	const View header = packet.first(40);
	in.result().ttl_zero = in.result().hop_zero = header.u8(7) == 0;

	std::size_t length = header.u16(4);
	if (length == 0 && packet.size() > 40 && header.u8(6) != kNoNextHeader) {
		if (in.drops(AX_R_IP6_ZERO_LENGTH))
			return;
		length = packet.size() - 40;
	}
	if (length > packet.size() - 40)
		return in.ends(AX_R_IP6_PAYLOAD_LENGTH);
	if (addresses_drop(in, header))
		return;

	View rest = packet.from(40).first(length);
	Upper ip{.family = 6, .protocol = header.u8(6), .hop_limit = header.u8(7)};
	if (!walk_chain(in, ip, rest))
		return;
	inspect_upper(in, ip, rest);
	if (in.goes_on())
		inspect_session(in, ip, header.from(8).first(16), header.from(24).first(16), rest);
}

} // namespace anycast::test::oracle
