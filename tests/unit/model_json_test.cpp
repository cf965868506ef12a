// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/model_json.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace anycast {

namespace {

Config every_member()
{
	Config config;

	config.name = "edge-1";
	config.hash_seed = {0xffffffffffffffff, 0x8000000000000001};
	config.interfaces = {"eth0", "eth1"};
	config.roles = AX_ROLE_EDGE | AX_ROLE_BACKEND;
	config.mode = "native";
	config.pin_dir = "/a";
	config.state_dir = "/b";
	config.socket = "/c";
	config.limits = {1, 2, 3, 4, 5, 6, 7, 8};
	config.source_v4 = Address::parse("192.0.2.1");
	config.source_v6 = Address::parse("2001:db8::1");
	config.edges = {*Address::parse("192.0.2.2")};
	config.tunnel_addresses = {*Address::parse("2001:db8::2")};
	config.gtsm_local = {*Address::parse("fe80::1")};
	config.gtsm_peers = {{*Address::parse("192.0.2.3"), 7}};
	config.rules = {{"ip4_ihl", AX_ACTION_OFF}};
	config.pools = {
		{.name = "p \"quoted\" \u00e4",
		 .table_size = 251,
		 .all_down = AX_ALL_DOWN_LAST_KNOWN,
		 .backends = {{"b", *Address::parse("10.0.0.1"), 65535, AX_BACKEND_DRAINING}}}};
	config.vips = {{"v", *Address::parse("2001:db8::80"), 65535, 17, "p", AX_FORWARD_L2DSR}};
	return config;
}

} // namespace

TEST(ModelJson, ConfigComesBackAsItWas)
{
	for (const Config &config : {Config{}, every_member()}) {
		const std::string text = config_to_json(config).dump();
		const auto back = config_from_json(nlohmann::json::parse(text));
		ASSERT_TRUE(back) << back.error().message();
		EXPECT_EQ(*back, config);
	}
}

TEST(ModelJson, IdsComeBackAsTheyWere)
{
	const Ids ids = {.vips = {{"v", "192.0.2.1 80/6", 65535, true}, {"", "", 3, false}},
			 .backends = {{"p/b", "10.0.0.1", 1, true}},
			 .peers = {}};
	const auto back = ids_from_json(ids_to_json(ids));
	ASSERT_TRUE(back) << back.error().message();
	EXPECT_EQ(*back, ids);
}

TEST(ModelJson, ReadingIsStrict)
{
	const nlohmann::json good = config_to_json(every_member());
	const auto broken = [&](const std::function<void(nlohmann::json &)> &change) {
		nlohmann::json json = good;
		change(json);
		const auto config = config_from_json(json);
		return config ? std::string("accepted") : config.error().what;
	};

	using testing::HasSubstr;
	EXPECT_THAT(broken([](auto &j) { j.erase("vips"); }), HasSubstr("vips"));
	EXPECT_THAT(broken([](auto &j) { j["more"] = 1; }), HasSubstr("not known"));
	EXPECT_THAT(broken([](auto &j) { j["vips"][0]["port"] = 65536; }), HasSubstr("port"));
	EXPECT_THAT(broken([](auto &j) { j["vips"][0]["port"] = "80"; }), HasSubstr("port"));
	EXPECT_THAT(broken([](auto &j) { j["edges"][0] = "192.0.2"; }), HasSubstr("edges"));
	EXPECT_THAT(broken([](auto &j) { j["limits"] = 3; }), HasSubstr("limits"));
	EXPECT_THAT(broken([](auto &j) { j["hash_seed"] = {1}; }), HasSubstr("hash_seed"));
	EXPECT_THAT(broken([](auto &j) { j["roles"] = -1; }), HasSubstr("roles"));
	EXPECT_FALSE(config_from_json(nlohmann::json::array()));
}

} // namespace anycast
