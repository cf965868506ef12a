// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "bird/base_config.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "bird/include_file.h"

namespace anycast::bird {

namespace {

class Text {
public:
	template <typename... Args> void line(fmt::format_string<Args...> format, Args &&...args)
	{
		fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
		out_ += '\n';
	}
	std::string take() { return std::move(out_); }

private:
	std::string out_;
};

// BIRD wants an IPv4 address, also where there is none to be found.
std::optional<Address> router_id_of(const BirdConfig &bird)
{
	if (bird.router_id)
		return bird.router_id;
	for (const BgpNeighbour &neighbour : bird.neighbours)
		if (neighbour.local && neighbour.local->is_v4())
			return neighbour.local;
	return std::nullopt;
}

void add_basics(Text &out, const BirdConfig &bird, const Address &router_id)
{
	out.line("# Made by `anycast-xdp bird render`.");
	out.line("log syslog all;");
	out.line("router id {};", router_id.text());
	out.line("");
	out.line("protocol device {{ scan time 10; }}");
	out.line("");
	out.line("# The VIPs as they are on the interface: seen here, announced from the file "
		 "below.");
	out.line("protocol direct anycast_direct {{");
	out.line("\tipv4;");
	out.line("\tipv6;");
	out.line("\tinterface \"{}\";", bird.interface);
	out.line("}}");
	out.line("");
	for (const char *family : {"ipv4", "ipv6"}) {
		out.line("protocol kernel anycast_kernel{} {{", family[3]);
		out.line("\t{} {{ import none; export where source = RTS_BGP; }};", family);
		out.line("}}");
	}
	out.line("");
	out.line("# What is announced. The agent, or `anycast-xdp announce`, keeps this file.");
	out.line("include \"{}\";", bird.include);
}

void add_bfd(Text &out, const BirdConfig &bird)
{
	if (std::ranges::none_of(bird.neighbours, &BgpNeighbour::bfd))
		return;
	out.line("");
	out.line("protocol bfd anycast_bfd {{");
	for (const char *where : {"interface \"*\"", "multihop"})
		out.line("\t{} {{ min rx interval {} ms; min tx interval {} ms; multiplier {}; }};",
			 where, bird.bfd_interval, bird.bfd_interval, bird.bfd_multiplier);
	out.line("}}");
}

std::string import_text(BgpImport import, bool v4)
{
	switch (import) {
	case BgpImport::kVips:
		return fmt::format("import where net ~ {}", v4 ? kVips4 : kVips6);
	case BgpImport::kDefault:
		return fmt::format("import where net = {}", v4 ? "0.0.0.0/0" : "::/0");
	case BgpImport::kAll:
		return "import all";
	case BgpImport::kNone:
		break;
	}
	return "import none";
}

void add_channel(Text &out, const BgpNeighbour &neighbour, bool v4, bool external)
{
	const bool foreign = v4 != neighbour.address.is_v4();
	out.line("\t{} {{ {}; export where {}();{} }};", v4 ? "ipv4" : "ipv6",
		 import_text(neighbour.import, v4), external ? kExportEbgp : kExportIbgp,
		 v4 && foreign ? " extended next hop on;" : "");
}

void add_neighbour(Text &out, const BirdConfig &bird, const BgpNeighbour &neighbour)
{
	const bool external = neighbour.asn != bird.asn;
	const std::string zone =
		neighbour.interface.empty() ? "" : fmt::format("%'{}'", neighbour.interface);
	out.line("");
	out.line("protocol bgp '{}{}' {{", kPeerPrefix, neighbour.name);
	if (neighbour.local)
		out.line("\tlocal {} as {};", neighbour.local->text(), bird.asn);
	else
		out.line("\tlocal as {};", bird.asn);
	out.line("\tneighbor {}{} as {};", neighbour.address.text(), zone, neighbour.asn);
	if (neighbour.multihop != 0)
		out.line("\tmultihop {};", neighbour.multihop);
	else
		out.line("\tdirect;");
	out.line("\tttl security {};", neighbour.ttl_security ? "on" : "off");
	if (neighbour.bfd)
		out.line("\tbfd on;");
	out.line("\thold time {};", neighbour.hold_time);
	out.line("\tkeepalive time {};", neighbour.hold_time / 3);
	// A session that comes back waits for these, not for the defaults of 5, 120 and 300 s.
	out.line("\tconnect delay time 1; connect retry time 5; error wait time 1, 30;");
	if (!neighbour.password.empty())
		out.line("\tpassword \"{}\";", neighbour.password);
	if (neighbour.rr_client)
		out.line("\trr client;");
	if (external && neighbour.import == BgpImport::kVips)
		out.line("\tallow local as 1; # other nodes announce the VIPs from our AS");
	for (const bool v4 : {true, false})
		if (v4 ? neighbour.ipv4 : neighbour.ipv6)
			add_channel(out, neighbour, v4, external);
	out.line("}}");
}

} // namespace

Result<std::string> base_config(const Config &config)
{
	const BirdConfig &bird = config.bird;
	if (bird.asn == 0)
		return fail(Exit::kUsage, "the configuration has no [bird] section",
			    "give it `asn` there, and the neighbours as [[bird.neighbours]]");
	if (bird.neighbours.empty())
		return fail(Exit::kUsage, "the configuration names no BGP neighbours",
			    "add them: [[bird.neighbours]] with name, address and asn");
	const auto router_id = router_id_of(bird);
	if (!router_id)
		return fail(Exit::kUsage, "BIRD needs a router id",
			    "[bird] router_id, or the `local` IPv4 address of a neighbour");
	Text out;
	add_basics(out, bird, *router_id);
	add_bfd(out, bird);
	for (const BgpNeighbour &neighbour : bird.neighbours)
		add_neighbour(out, bird, neighbour);
	return out.take();
}

} // namespace anycast::bird
