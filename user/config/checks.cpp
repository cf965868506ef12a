// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [[vips.checks]] and [[pools.checks]].
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "config/sections.h"

namespace anycast {

namespace {

using std::chrono::minutes;

constexpr Milliseconds kMinInterval{50}, kMinTimeout{1};
constexpr Milliseconds kMaxInterval = minutes(60);
constexpr std::int64_t kMaxInARow = 1000;

bool is_http(CheckType type)
{
	return type == CheckType::kHttp || type == CheckType::kHttps;
}

bool needs_port(CheckType type)
{
	return type != CheckType::kIcmp && type != CheckType::kExec;
}

bool is_hex(std::string_view text)
{
	return text.size() % 2 == 0 &&
	       text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
}

// A key that another type of check has: said once, rather than ignored.
class Reader {
public:
	Reader(TableReader &table, CheckSpec &spec) : table_(table), spec_(spec) {}
	void times();
	void rest(bool of_vip);

private:
	void only(std::string_view key, bool allowed)
	{
		if (!allowed && table_.has(key))
			table_.diagnostics().error(
				table_.at(key), fmt::format("checks.{}: not for a check of type {}",
							    key, check_type_name(spec_.type)));
	}
	void text(std::string_view key, std::string &value, bool allowed)
	{
		only(key, allowed);
		if (const auto read = table_.string(key))
			value = read->value;
	}
	void error(std::string_view key, std::string message)
	{
		table_.diagnostics().error(table_.at(key), "checks." + std::string(key) + ": " +
								   std::move(message));
	}
	void udp();
	void http();
	void dns();
	void exec();

	TableReader &table_;
	CheckSpec &spec_;
};

void Reader::times()
{
	if (const auto interval = table_.duration("interval", kMinInterval, kMaxInterval))
		spec_.interval = interval->value;
	table_.missing("timeout"); // a check that may hang for ever tells nothing
	if (const auto timeout = table_.duration("timeout", kMinTimeout, kMaxInterval)) {
		spec_.timeout = timeout->value;
		if (spec_.timeout > spec_.interval)
			error("timeout",
			      fmt::format("{} ms is longer than the interval of {} ms",
					  spec_.timeout.count(), spec_.interval.count()));
	}
	if (const auto jitter = table_.integer("jitter", 0, 50))
		spec_.jitter = static_cast<std::uint32_t>(jitter->value);
	if (const auto rise = table_.integer("rise", 1, kMaxInARow))
		spec_.rise = static_cast<std::uint32_t>(rise->value);
	if (const auto fall = table_.integer("fall", 1, kMaxInARow))
		spec_.fall = static_cast<std::uint32_t>(fall->value);
}

void Reader::udp()
{
	const bool udp = spec_.type == CheckType::kUdp;
	text("payload", spec_.payload, udp);
	text("expect", spec_.expect, udp || spec_.type == CheckType::kDns);
	only("hex", udp);
	if (const auto hex = table_.boolean("hex"))
		spec_.hex = hex->value;
	for (const auto &[key, value] :
	     {std::pair{"payload", &spec_.payload}, std::pair{"expect", &spec_.expect}})
		if (spec_.hex && !is_hex(*value))
			error(key, "with hex = true, an even number of hex digits");
	if (udp && spec_.payload.empty())
		table_.missing("payload"); // an empty datagram gets no answer from anything
}

void Reader::http()
{
	const bool http = is_http(spec_.type);
	text("host", spec_.host, http);
	text("path", spec_.path, http);
	text("body", spec_.body, http);
	only("status", http);
	for (const Placed<std::int64_t> &status : table_.integers("status", 100, 599))
		spec_.status.push_back(static_cast<std::uint32_t>(status.value));
	only("verify", spec_.type == CheckType::kHttps);
	if (const auto verify = table_.boolean("verify"))
		spec_.verify = verify->value;
	const auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
	if (!spec_.path.starts_with('/') || !std::ranges::all_of(spec_.path, visible))
		error("path", "expected a path that begins with /, without spaces");
	const auto in_host = [&](char c) {
		return visible(c) && std::string_view("/?#@:\\").find(c) == std::string_view::npos;
	};
	if (!std::ranges::all_of(spec_.host, in_host))
		error("host", "expected a host name");
	if (spec_.type == CheckType::kHttps && spec_.verify && spec_.host.empty())
		error("host",
		      "https needs the name that the certificate is for, or verify = false");
}

void Reader::dns()
{
	static constexpr std::array<std::string_view, 9> kRecords{
		"A", "AAAA", "NS", "SOA", "TXT", "MX", "PTR", "CNAME", "SRV"};
	const bool dns = spec_.type == CheckType::kDns;
	text("name", spec_.name, dns);
	text("record", spec_.record, dns);
	if (!dns)
		return;
	table_.missing("name");
	if (std::ranges::find(kRecords, spec_.record) == kRecords.end())
		error("record",
		      fmt::format("\"{}\" is none of {}", spec_.record, fmt::join(kRecords, ", ")));
	if (!spec_.expect.empty() && !Address::parse(spec_.expect))
		error("expect", "of a dns check: an address that must be among the answers");
}

void Reader::exec()
{
	const bool exec = spec_.type == CheckType::kExec;
	only("command", exec);
	spec_.command = table_.words("command");
	if (!exec)
		return;
	table_.missing("command");
	if (!spec_.command.empty() && !spec_.command.front().starts_with('/'))
		error("command", "the program's absolute path, then its arguments");
	if (table_.has("command") && spec_.command.empty())
		error("command", "must not be empty");
}

void Reader::rest(bool of_vip)
{
	only("port", needs_port(spec_.type));
	if (const auto port = table_.integer("port", 1, 65535))
		spec_.port = static_cast<std::uint16_t>(port->value);
	else if (!of_vip && needs_port(spec_.type))
		table_.missing("port"); // VIPs on different ports may share a pool
	// Of a pool's check: through the tunnel; a program finds its own way.
	only("target", of_vip || spec_.type != CheckType::kExec);
	if (const auto target = table_.address("target"))
		spec_.target = target->value;
	if (of_vip && table_.has("direct"))
		error("direct", "for the checks of pools; those of VIPs ask the node itself");
	else
		only("direct", spec_.type != CheckType::kExec);
	if (const auto direct = table_.boolean("direct"))
		spec_.direct = direct->value;
	if (spec_.direct && spec_.target)
		error("direct", "a target is asked through the tunnel");
	udp();
	http();
	dns();
	exec();
}

} // namespace

std::vector<CheckSpec> read_checks(TableReader &owner, bool of_vip)
{
	std::vector<CheckSpec> checks;
	owner.each("checks", [&](TableReader &table) {
		CheckSpec spec;
		table.missing("type");
		if (const auto type = table.choice("type", kCheckTypes))
			spec.type = static_cast<CheckType>(type->value);
		Reader reader(table, spec);
		reader.times();
		reader.rest(of_vip);
		checks.push_back(std::move(spec));
	});
	return checks;
}

} // namespace anycast
