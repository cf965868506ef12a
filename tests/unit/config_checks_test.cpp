// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// [[vips.checks]], [[pools.checks]], [host], [agent].
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "config/config.h"
#include "core/model_json.h"

namespace anycast {
namespace {

using testing::HasSubstr;

constexpr const char *kBase = R"([node]
hash_seed = "6a09e667f3bcc908bb67ae8584caa73b"
[[pools]]
name = "web"
[[pools.backends]]
address = "10.1.0.11"
)";
constexpr const char *kVip = R"([[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
)";

Config config_of(const std::string &text)
{
	const auto parsed = parse_config(text, "t.toml");
	EXPECT_TRUE(parsed) << parsed.error().what;
	return parsed ? parsed->config : Config{};
}

std::string errors_of(const std::string &text)
{
	const auto parsed = parse_config(text, "t.toml");
	EXPECT_FALSE(parsed) << text;
	return parsed ? "" : parsed.error().what;
}

std::string with_check(const std::string &check)
{
	return std::string(kBase) + kVip + "[[vips.checks]]\n" + check;
}

constexpr const char *kRich = R"(
[[pools.checks]]
type = "tcp"
port = 8080
direct = true
timeout = "200ms"
[[vips]]
name = "www"
address = "198.51.100.80"
port = 80
pool = "web"
canary = true
[vips.bgp]
prepend = 2
[[vips.checks]]
type = "https"
interval = "2s"
timeout = "1.5s"
jitter = 0
rise = 3
fall = 1
port = 443
target = "127.0.0.1"
host = "www.example.net"
path = "/health?x=1"
status = [200, 204]
body = "ready \"now\""
verify = false
[[vips.checks]]
type = "udp"
timeout = "1s"
payload = "00ff"
expect = "01"
hex = true
[[vips.checks]]
type = "dns"
timeout = "1s"
name = "www.example.net"
record = "AAAA"
expect = "2001:db8::1"
[[vips.checks]]
type = "exec"
timeout = "1s"
command = ["/bin/test", "-e", "-e"]
[[vips.checks]]
type = "icmp"
timeout = "1s"
[host]
interface = "vips0"
forwarding = false
hash_policy = 2
rmem_max = 1048576
wmem_max = 2097152
persist = true
[agent]
group = "anycast"
exec_user = "checker"
http_address = "::1"
http_port = 9999
marks_listen = "[2001:db8:1::11]:9556"
marks_allow = ["10.1.0.0/24", "2001:db8:2::2"]
marks_from = ["10.1.0.11:9556", "10.1.0.12:9556"]
on_stop = "leave"
canary_hold = "90s"
[agent.overload]
action = "withdraw"
hold = "5s"
[agent.overload.cpu]
high = 95
low = 80
[agent.overload.loss]
high = 50
)";

TEST(ConfigChecks, ReadsEveryKey)
{
	const Config config = config_of(std::string(kBase) + kRich);
	const Vip &vip = config.vips.at(0);
	ASSERT_EQ(vip.checks.size(), 5U);
	EXPECT_TRUE(vip.canary);
	EXPECT_EQ(vip.bgp.prepend, 2U);
	const CheckSpec &https = vip.checks[0];
	EXPECT_EQ(https.type, CheckType::kHttps);
	EXPECT_EQ(https.timeout, Milliseconds(1500));
	EXPECT_EQ(https.target, Address::parse("127.0.0.1"));
	EXPECT_EQ(https.status, (std::vector<std::uint32_t>{200, 204}));
	EXPECT_FALSE(https.verify);
	EXPECT_EQ(vip.checks[3].command, (std::vector<std::string>{"/bin/test", "-e", "-e"}));
	EXPECT_EQ(config.pools.at(0).checks.at(0).interval, Milliseconds(1000));
	ASSERT_TRUE(config.host);
	EXPECT_EQ(config.host->interface, "vips0");
	EXPECT_EQ(config.agent.overload.cpu, (Threshold{95, 80}));
	EXPECT_EQ(config.agent.overload.loss, (Threshold{50, 40})) << "a fifth of hysteresis";
	EXPECT_EQ(config.agent.on_stop, OnStop::kLeave);
	ASSERT_TRUE(config.agent.marks_listen);
	EXPECT_EQ(config.agent.marks_listen->text(), "[2001:db8:1::11]:9556");
	EXPECT_EQ(config.agent.marks_allow,
		  (std::vector{*Prefix::parse("10.1.0.0/24"), *Prefix::parse("2001:db8:2::2")}));
	EXPECT_EQ(config.agent.marks_from, (std::vector{*Endpoint::parse("10.1.0.11:9556"),
							*Endpoint::parse("10.1.0.12:9556")}));
}

TEST(ConfigChecks, RoundTripsAsTomlAndJson)
{
	const Config config = config_of(std::string(kBase) + kRich);
	EXPECT_EQ(config_of(to_toml(config)), config) << to_toml(config);
	const auto json = config_from_json(config_to_json(config));
	ASSERT_TRUE(json) << json.error().message();
	EXPECT_EQ(*json, config);
}

TEST(ConfigChecks, TimeoutHasNoDefault)
{
	EXPECT_THAT(errors_of(with_check("type = \"tcp\"\n")),
		    HasSubstr("vips.checks.timeout is missing"));
	EXPECT_THAT(errors_of(with_check("type = \"tcp\"\ntimeout = \"0s\"\n")),
		    HasSubstr("not in 1ms..1h"));
	EXPECT_THAT(errors_of(with_check("type = \"tcp\"\ntimeout = \"2s\"\n")),
		    HasSubstr("longer than the interval"));
}

TEST(ConfigChecks, SaysWhatIsWrong)
{
	const std::pair<const char *, const char *> rows[] = {
		{"type = \"smtp\"\ntimeout = \"1s\"\n", "none of tcp, udp, icmp"},
		{"type = \"tcp\"\ntimeout = \"1\"\n", "is no time such as"},
		{"type = \"tcp\"\ntimeout = \"1s\"\npath = \"/x\"\n",
		 "not for a check of type tcp"},
		{"type = \"icmp\"\ntimeout = \"1s\"\nport = 1\n", "not for a check of type icmp"},
		{"type = \"udp\"\ntimeout = \"1s\"\n", "payload is missing"},
		{"type = \"udp\"\ntimeout = \"1s\"\npayload = \"0g\"\nhex = true\n", "hex digits"},
		{"type = \"http\"\ntimeout = \"1s\"\npath = \"x\"\n", "begins with /"},
		{"type = \"http\"\ntimeout = \"1s\"\npath = \"/a b\"\n", "without spaces"},
		{"type = \"http\"\ntimeout = \"1s\"\nhost = \"a/b\"\n", "a host name"},
		{"type = \"http\"\ntimeout = \"1s\"\nhost = \"a\\r\\nb\"\n", "a host name"},
		{"type = \"https\"\ntimeout = \"1s\"\n", "verify = false"},
		{"type = \"dns\"\ntimeout = \"1s\"\n", "name is missing"},
		{"type = \"dns\"\ntimeout = \"1s\"\nname = \"a\"\nrecord = \"X\"\n", "none of A"},
		{"type = \"dns\"\ntimeout = \"1s\"\nname = \"a\"\nexpect = \"b\"\n", "an address"},
		{"type = \"exec\"\ntimeout = \"1s\"\n", "command is missing"},
		{"type = \"exec\"\ntimeout = \"1s\"\ncommand = []\n", "must not be empty"},
		{"type = \"exec\"\ntimeout = \"1s\"\ncommand = [\"ls\"]\n", "absolute path"},
		{"type = \"tcp\"\ntimeout = \"1s\"\nrise = 0\n", "not in 1..1000"},
	};
	for (const auto &[check, error] : rows)
		EXPECT_THAT(errors_of(with_check(check)), HasSubstr(error));
}

TEST(ConfigChecks, PoolChecksNeedAPort)
{
	EXPECT_THAT(errors_of(std::string(kBase) +
			      "[[pools.checks]]\ntype = \"tcp\"\ntimeout = \"1s\"\n" + kVip),
		    HasSubstr("pools.checks.port is missing"));
	const std::string any =
		std::string(kBase) +
		"[[vips]]\nname = \"a\"\naddress = \"198.51.100.81\"\nport = "
		"\"any\"\nprotocol = \"any\"\npool = \"web\"\n[[vips.checks]]\ntype "
		"= \"tcp\"\ntimeout = \"1s\"\n";
	EXPECT_THAT(errors_of(any), HasSubstr("has every port"));
}

// A target of a pool's check is a VIP of the pool, asked through the tunnel.
TEST(ConfigChecks, PoolChecksGoThroughTheTunnelToTheirVips)
{
	const auto with = [](const std::string &check) {
		return std::string(kBase) + "[[pools.checks]]\ntimeout = \"1s\"\n" + check + kVip;
	};
	const auto good = with("type = \"tcp\"\nport = 80\ntarget = \"198.51.100.80\"\n");
	EXPECT_TRUE(parse_config(good, "t.toml"));
	EXPECT_THAT(errors_of(with("type = \"tcp\"\nport = 80\ntarget = \"198.51.100.99\"\n")),
		    HasSubstr("198.51.100.99 is no VIP of pool web"));
	EXPECT_TRUE(parse_config(with("type = \"http\"\nport = 80\ntarget = \"198.51.100.80\"\n"),
				 "t.toml"));
	EXPECT_THAT(errors_of(with("type = \"exec\"\ncommand = [\"/bin/true\"]\n"
				   "target = \"198.51.100.80\"\n")),
		    HasSubstr("checks.target: not for a check of type exec"));
	EXPECT_THAT(errors_of(with("type = \"tcp\"\nport = 80\ndirect = true\n"
				   "target = \"198.51.100.80\"\n")),
		    HasSubstr("checks.direct: a target is asked through the tunnel"));
	EXPECT_THAT(errors_of(with_check("type = \"tcp\"\ntimeout = \"1s\"\ndirect = true\n")),
		    HasSubstr("checks.direct: for the checks of pools"));
}

TEST(ConfigAgent, RefusesWhatWouldBeUnsafe)
{
	const std::pair<const char *, const char *> rows[] = {
		{"[agent]\nexec_user = \"root\"\n", "must not run as root"},
		{"[agent]\nhttp_address = \"192.0.2.1\"\n", "no loopback address"},
		{"[agent]\nmarks_listen = \"10.1.0.11:9556\"\n", "marks_allow must say who"},
		{"[agent]\nmarks_allow = [\"10.1.0.0/24\"]\n", "without marks_listen"},
		{"[agent]\nmarks_listen = \"10.1.0.11\"\nmarks_allow = [\"10.1.0.1\"]\n",
		 "no address with a port"},
		{"[agent]\nmarks_listen = \"0.0.0.0:9556\"\nmarks_allow = [\"10.1.0.1\"]\n",
		 "the unspecified"},
		{"[agent]\nmarks_listen = \"10.1.0.11:9556\"\nmarks_allow = []\n",
		 "marks_allow must say who"},
		{"[agent]\nmarks_listen = \"10.1.0.11:9556\"\nmarks_allow = [\"10.1.0.1/24\"]\n",
		 "is no prefix"},
		{"[agent]\nmarks_from = [\"10.1.0.11:0\"]\n", "no address with a port"},
		{"[agent]\nmarks_from = [\"b1:9556\"]\n", "no address with a port"},
		{"[agent]\nmarks_from = [\"10.1.0.11:9556\", \"10.1.0.11:9556\"]\n",
		 "listed twice"},
		{"[agent.overload.cpu]\nhigh = 80\nlow = 80\n", "below high"},
		{"[agent.overload.cpu]\nlow = 80\n", "high is missing"},
		{"[agent]\non_stop = \"panic\"\n", "none of withdraw, leave"},
		{"[host]\nhash_policy = 4\n", "not in 0..3"},
		{"[host]\ninterface = \"a/b\"\n", "cannot be an interface"},
	};
	for (const auto &[section, error] : rows)
		EXPECT_THAT(errors_of(std::string(section) + kBase + kVip), HasSubstr(error));
}

} // namespace
} // namespace anycast
