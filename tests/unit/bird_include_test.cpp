// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The include file, the base configuration, advice, and the ledger: text in, text out.
#include "bird/include_file.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bird/base_config.h"
#include "bird/ledger.h"
#include "bird/speaker.h"
#include "config/config.h"

namespace anycast::bird {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char *kHead = "[node]\nhash_seed = \"0123456789abcdef0123456789abcdef\"\n"
			      "[[pools]]\nname = \"web\"\nbackends = [{address = \"10.1.0.11\"}]\n";

Config config_of(const std::string &text)
{
	const auto parsed = parse_config(kHead + text, "t.toml");
	EXPECT_TRUE(parsed) << parsed.error().what;
	return parsed ? parsed->config : Config{};
}

std::string vip(const std::string &name, const std::string &address, const std::string &rest = "")
{
	return "[[vips]]\nname = \"" + name + "\"\naddress = \"" + address +
	       "\"\nport = 80\npool = \"web\"\n" + rest;
}

Address address(std::string_view text)
{
	return *Address::parse(text);
}

class TemporaryDirectory {
public:
	TemporaryDirectory()
	{
		std::string pattern = testing::TempDir() + "ax-bird-XXXXXX";
		path_ = ::mkdtemp(pattern.data());
	}
	~TemporaryDirectory() { std::filesystem::remove_all(path_); }
	TemporaryDirectory(const TemporaryDirectory &) = delete;
	TemporaryDirectory &operator=(const TemporaryDirectory &) = delete;
	[[nodiscard]] const std::string &path() const { return path_; }

private:
	std::string path_;
};

TEST(BirdInclude, SaysWhatIsAnnouncedAndWithWhat)
{
	const Config config = config_of(
		"[bird]\nasn = 64512\n" +
		vip("www", "198.51.100.80",
		    "bgp = {communities = [\"64512:100\"], large_communities = [\"64512:1:2\"], "
		    "med = 5, local_pref = 150, prepend = 2}\n") +
		vip("dns", "198.51.100.53") + vip("six", "2001:db8::80"));
	const std::string text = include_text(
		wanted_for(config, {{address("198.51.100.80"), Reach::kDraining},
				    {address("2001:db8::80"), Reach::kAnnounced},
				    {address("192.0.2.1"), Reach::kAnnounced}})); // no VIP of ours
	EXPECT_THAT(text, HasSubstr("define anycast_xdp_vips4 = [\n\t198.51.100.53/32,\n"
				    "\t198.51.100.80/32\n];\n"));
	EXPECT_THAT(text, HasSubstr("\troute 198.51.100.80/32 blackhole { "
				    "bgp_community.add((64512,100)); "
				    "bgp_large_community.add((64512,1,2)); bgp_med = 5; "
				    "bgp_local_pref = 150; anycast_xdp_prepend = 2; "
				    "bgp_community.add((65535,0)); };\n"));
	EXPECT_THAT(text, HasSubstr("\troute 2001:db8::80/128 blackhole;\n"));
	EXPECT_THAT(text, Not(HasSubstr("route 198.51.100.53")));
	EXPECT_THAT(text, Not(HasSubstr("192.0.2.1")));
	EXPECT_THAT(text, HasSubstr("if anycast_xdp_prepend >= 16 then bgp_path.prepend(64512);"));
}

TEST(BirdInclude, IsReadBackAsItWasMeant)
{
	Config config = config_of("[bird]\nasn = 64512\n" + vip("a", "198.51.100.1") +
				  vip("b", "198.51.100.2") + vip("c", "2001:db8::3"));
	for (int state = 0; state < 27; state++) {
		std::map<Address, Reach> reach;
		int digit = state;
		for (const Vip &each : config.vips) {
			if (digit % 3 != 0)
				reach[each.address] = static_cast<Reach>(digit % 3);
			digit /= 3;
		}
		const auto back = reach_in(include_text(wanted_for(config, reach)));
		ASSERT_TRUE(back);
		EXPECT_EQ(*back, reach);
	}
	EXPECT_TRUE(reach_in("")->empty());
	EXPECT_FALSE(reach_in("\troute nonsense\n"));
}

TEST(BirdInclude, AFileIsReplacedWhole)
{
	const TemporaryDirectory directory;
	const std::string path = directory.path() + "/deep/er/bird.conf";
	EXPECT_EQ(*read_file(path), "");
	ASSERT_TRUE(replace_file(path, "one\n"));
	ASSERT_TRUE(replace_file(path, "two\n"));
	EXPECT_EQ(*read_file(path), "two\n");
	EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
	EXPECT_EQ(static_cast<int>(std::filesystem::status(path).permissions()), 0644);
	EXPECT_FALSE(read_file(directory.path())); // a directory
	EXPECT_FALSE(replace_file(path + "/below", "x"));
}

TEST(BirdBase, NeedsNeighboursAndARouterId)
{
	EXPECT_EQ(base_config(config_of(vip("a", "198.51.100.1"))).error().kind, Exit::kUsage);
	EXPECT_THAT(base_config(config_of("[bird]\nasn = 64512\n")).error().what,
		    HasSubstr("no BGP neighbours"));
	const std::string six = "[bird]\nasn = 64512\n[[bird.neighbours]]\nname = \"up\"\n"
				"address = \"2001:db8::1\"\nasn = 64500\n";
	EXPECT_THAT(base_config(config_of(six)).error().what, HasSubstr("router id"));
}

TEST(BirdBase, SaysWhatTheFileSays)
{
	const auto text = base_config(config_of(
		"[bird]\nasn = 64512\nrouter_id = \"10.0.0.1\"\nbfd_interval_ms = 200\n"
		"[[bird.neighbours]]\nname = \"up\"\naddress = \"10.1.0.1\"\nasn = 64500\n"
		"hold_time = 3\npassword = \"secret word\"\nimport = \"default\"\n"
		"[[bird.neighbours]]\nname = \"rr-1\"\naddress = \"10.2.0.1\"\nasn = 64512\n"
		"rr_client = true\n"
		"[[bird.neighbours]]\nname = \"far\"\naddress = \"10.3.0.1\"\nasn = 64501\n"
		"multihop = 3\nttl_security = true\nimport = \"vips\"\n"
		"[[bird.neighbours]]\nname = \"ll\"\naddress = \"fe80::1\"\ninterface = \"eth0\"\n"
		"asn = 64502\nfamilies = [\"ipv4\", \"ipv6\"]\nbfd = false\n"));
	ASSERT_TRUE(text) << text.error().what;
	for (const char *part :
	     {"router id 10.0.0.1;", "protocol direct anycast_direct {\n\tipv4;\n\tipv6;",
	      "interface \"anycast0\";", "include \"/var/lib/anycast-xdp/bird.conf\";",
	      "min rx interval 200 ms",
	      "protocol bgp 'peer_up' {\n\tlocal as 64512;\n\tneighbor 10.1.0.1 as 64500;\n"
	      "\tdirect;\n\tttl security on;\n\tbfd on;\n\thold time 3;\n\tkeepalive time 1;",
	      "password \"secret word\";",
	      "import where net = 0.0.0.0/0; export where anycast_xdp_ebgp();",
	      "neighbor 10.2.0.1 as 64512;\n\tmultihop 64;\n\tttl security off;\n\thold time 9;",
	      "rr client;", "import none; export where anycast_xdp_ibgp();",
	      "multihop 3;\n\tttl security on;", "import where net ~ anycast_xdp_vips4;",
	      "allow local as 1;", "neighbor fe80::1%'eth0' as 64502;",
	      "ipv4 { import none; export where anycast_xdp_ebgp(); extended next hop on; };"})
		EXPECT_THAT(*text, HasSubstr(part));
}

TEST(BirdAdvice, EveryStateThatIsNotUpSaysWhatToDo)
{
	SessionStatus session;
	for (const char *state : {"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Down"}) {
		session.state = state;
		EXPECT_FALSE(advice_for(session).empty()) << state;
	}
	session.state = "Established";
	EXPECT_EQ(advice_for(session), "");
	session.missing = {address("198.51.100.80")};
	session.local_asn = 64512;
	session.neighbour_asn = 64500;
	EXPECT_THAT(advice_for(session), HasSubstr("anycast_xdp_ebgp();"));
	session.neighbour_asn = 64512;
	EXPECT_THAT(advice_for(session), HasSubstr("anycast_xdp_ibgp();"));
	session.exists = false;
	EXPECT_THAT(advice_for(session), HasSubstr("bird render"));
}

TEST(BirdAdvice, ErrorsAreExplained)
{
	const auto advice = [](const char *error) {
		SessionStatus session;
		session.state = "Active";
		session.last_error = error;
		return advice_for(session);
	};
	EXPECT_THAT(advice("Received: Bad peer AS"), HasSubstr("another ASN than ours"));
	EXPECT_THAT(advice("Error: Bad peer AS"), HasSubstr("it is another AS"));
	EXPECT_THAT(advice("Received: Hold timer expired"), HasSubstr("MTU"));
	EXPECT_THAT(advice("Socket: Connection refused"), HasSubstr("nobody listens"));
	EXPECT_THAT(advice("Socket: No route to host"), HasSubstr("ARP"));
	EXPECT_THAT(advice("something new"), HasSubstr("TCP port 179"));
}

TEST(BirdLedger, KeepsPenaltiesAndForgetsOldOnes)
{
	const TemporaryDirectory directory;
	const std::string path = directory.path() + "/damping.json";
	const DampingProfile &profile = *find_damping_profile("rfc2439");
	const Address www = address("198.51.100.80"), old = address("2001:db8::80");
	constexpr double kNow = 1'700'000'000;
	auto ledger = Ledger::load(path, profile);
	ASSERT_TRUE(ledger);
	ledger->of(www).withdrawn(kNow);
	ledger->of(old).withdrawn(kNow - 86400);
	ASSERT_TRUE(ledger->save(kNow));
	auto again = Ledger::load(path, profile);
	ASSERT_TRUE(again);
	EXPECT_EQ(again->of(www).penalty(kNow), 1000);
	EXPECT_EQ(again->of(old).penalty(kNow), 0);
	for (const char *bad : {"", "{", "[]", "{\"vips\":{\"x\":{\"penalty\":1,\"at\":1}}}",
				"{\"vips\":{\"::1\":{\"penalty\":-1,\"at\":1}}}",
				"{\"vips\":{\"::1\":{\"penalty\":\"1\",\"at\":1}}}"}) {
		ASSERT_TRUE(replace_file(path, bad));
		EXPECT_EQ(Ledger::load(path, profile).has_value(), *bad == '\0') << bad;
	}
}

} // namespace
} // namespace anycast::bird
