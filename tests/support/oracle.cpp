// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support/oracle.h"

#include <ostream>
#include <stdexcept>

#include "support/oracle_inspection.h"

namespace anycast::test {

namespace oracle {

std::uint8_t View::u8(std::size_t at) const
{
	if (at >= bytes_.size())
		throw std::out_of_range("oracle reads outside the packet");
	return bytes_[at];
}

std::uint16_t View::u16(std::size_t at) const
{
	return static_cast<std::uint16_t>(u8(at) << 8 | u8(at + 1));
}

std::uint32_t View::u32(std::size_t at) const
{
	return std::uint32_t{u16(at)} << 16 | u16(at + 2);
}

View View::from(std::size_t at) const
{
	if (at > bytes_.size())
		throw std::out_of_range("oracle reads outside the packet");
	return View(bytes_.subspan(at));
}

View View::first(std::size_t length) const
{
	if (length > bytes_.size())
		throw std::out_of_range("oracle reads outside the packet");
	return View(bytes_.first(length));
}

bool View::equals(const View &other) const
{
	return std::ranges::equal(bytes_, other.bytes_);
}

bool Inspection::drops(ax_reason rule)
{
	if (rules_.action[rule] == AX_ACTION_DROP) {
		result_.verdict = rule;
		return true;
	}
	auto &counted = result_.counted;
	if (rules_.action[rule] == AX_ACTION_COUNT &&
	    std::ranges::find(counted, rule) == counted.end())
		counted.push_back(rule);
	return false;
}

bool Inspection::drops_address(bool broken, ax_reason rule)
{
	return rules_.address_rules && drops_if(broken, rule);
}

void Inspection::ends(ax_reason rule)
{
	if (!drops(rule))
		result_.seen = Seen::kOpaque;
}

} // namespace oracle

namespace {

using oracle::View;

bool is_vlan(std::uint16_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8;
}

void inspect_frame(oracle::Inspection &in, View frame)
{
	if (frame.size() < 14)
		return in.ends(AX_R_ETH_TRUNCATED);
	std::uint16_t ethertype = frame.u16(12);
	View rest = frame.from(14);
	for (int tags = 0; is_vlan(ethertype); ++tags) {
		// Before the length: a tag too many is not looked at, so it cannot be cut either.
		if (tags == AX_VLAN_DEPTH) {
			if (!in.drops(AX_R_VLAN_TOO_DEEP))
				in.result().seen = Seen::kTooDeep;
			return;
		}
		if (rest.size() < 4)
			return in.ends(AX_R_ETH_TRUNCATED);
		ethertype = rest.u16(2);
		rest = rest.from(4);
	}
	if (ethertype == 0x0800)
		oracle::inspect_ip4(in, rest);
	else if (ethertype == 0x86dd)
		oracle::inspect_ip6(in, rest);
	else
		in.result().seen = Seen::kNotIp;
}

} // namespace

std::array<ax_action, AX_REASON_LIMIT> GuardRules::defaults()
{
	std::array<ax_action, AX_REASON_LIMIT> action{};
#define AX_ORACLE_DEFAULT(id, number, cls, act, label, source, help)                               \
	action[number] = AX_ACTION_##act;
	AX_REASONS(AX_ORACLE_DEFAULT)
#undef AX_ORACLE_DEFAULT
	return action;
}

GuardRules GuardRules::all(ax_action action)
{
	GuardRules rules;
	rules.action.fill(action);
	return rules;
}

GuardRules GuardRules::with(ax_reason rule, ax_action to) const
{
	GuardRules rules = *this;
	rules.action[rule] = to;
	return rules;
}

GuardRules GuardRules::without_addresses() const
{
	GuardRules rules = *this;
	rules.address_rules = false;
	return rules;
}

GuardVerdict guard_oracle(std::span<const std::uint8_t> frame, const GuardRules &rules,
			  const GuardSessions &sessions)
{
	GuardVerdict result;
	oracle::Inspection in(rules, sessions, result);
	inspect_frame(in, View(frame));
	return result;
}

std::string_view reason_label(ax_reason reason)
{
	switch (reason) {
	case AX_CONTINUE:
		return "continue";
#define AX_ORACLE_LABEL(id, number, cls, act, label, source, help)                                 \
	case AX_R_##id:                                                                            \
		return label;
		AX_REASONS(AX_ORACLE_LABEL)
#undef AX_ORACLE_LABEL
	}
	return "unknown";
}

std::ostream &operator<<(std::ostream &out, const GuardVerdict &verdict)
{
	static constexpr std::array<std::string_view, 4> kSeen{"ip", "not ip", "too deep",
							       "opaque"};
	out << reason_label(verdict.verdict) << " ("
	    << kSeen[static_cast<std::size_t>(verdict.seen)] << ")";
	for (const ax_reason rule : verdict.counted)
		out << ", counted " << reason_label(rule);
	if (verdict.bad_checksum)
		out << ", bad checksum";
	if (verdict.ttl_zero)
		out << ", ttl 0";
	if (verdict.accepted)
		out << ", of a session";
	return out;
}

} // namespace anycast::test
