// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "core/edit.h"

#include <gtest/gtest.h>

namespace anycast {
namespace {

Config two_pools()
{
	Config config;
	for (const char *name : {"web", "api"}) {
		Pool pool;
		pool.name = name;
		for (const char *address : {"10.1.0.11", "10.1.0.12"}) {
			Backend backend;
			backend.name = "b" + std::string(address).substr(7);
			backend.address = *Address::parse(address);
			pool.backends.push_back(backend);
		}
		config.pools.push_back(pool);
	}
	config.pools[1].backends.pop_back();
	return config;
}

ObjectEdit named(const std::string &name)
{
	ObjectEdit edit;
	edit.name = name;
	return edit;
}

ObjectEdit www()
{
	ObjectEdit edit = named("www");
	edit.address = "198.51.100.80";
	edit.pool = "web";
	edit.port = 80;
	return edit;
}

TEST(Edit, TwiceIsOnce)
{
	Config config = two_pools();
	ASSERT_TRUE(add_vip(config, www()));
	const Config once = config;
	ASSERT_TRUE(add_vip(config, www()));
	EXPECT_EQ(config, once);
	config.vips[0].measure = AX_MEASURE_DNS; // which an edit cannot say
	EXPECT_TRUE(add_vip(config, www()));
	EXPECT_EQ(config.vips[0].measure, AX_MEASURE_DNS);
	ASSERT_TRUE(del_vip(config, named("www")));
	ASSERT_TRUE(del_vip(config, named("www")));
	EXPECT_EQ(config, two_pools());

	ObjectEdit backend;
	backend.pool = "api";
	backend.address = "10.1.0.13";
	ASSERT_TRUE(add_backend(config, backend));
	EXPECT_EQ(config.pools[1].backends[1].name, "10.1.0.13");
	ASSERT_TRUE(add_backend(config, backend));
	EXPECT_EQ(config.pools[1].backends.size(), 2U);
	backend.server_id = "C4"; // its connections are another's
	EXPECT_FALSE(add_backend(config, backend));
	backend.address = "10.1.0.14";
	for (int i = 0; i < 2; i++)
		ASSERT_TRUE(add_backend(config, backend));
	EXPECT_EQ(config.pools[1].backends.at(2).server_id, "c4");
	ASSERT_TRUE(del_backend(config, named("10.1.0.14")));
	ASSERT_TRUE(del_backend(config, named("10.1.0.13")));
	ASSERT_TRUE(del_backend(config, named("10.1.0.13")));
	EXPECT_EQ(config, two_pools());
}

TEST(Edit, AnotherThingOfThatNameIsRefused)
{
	Config config = two_pools();
	ASSERT_TRUE(add_vip(config, www()));
	ObjectEdit other = www();
	other.port = 443;
	EXPECT_FALSE(add_vip(config, other));
	other = www();
	other.name = "same-place";
	EXPECT_FALSE(add_vip(config, other));
	ObjectEdit backend = named("b11");
	backend.pool = "web";
	backend.address = "10.1.0.99";
	EXPECT_FALSE(add_backend(config, backend));
}

TEST(Edit, BadWordsAreUsageErrors)
{
	Config config = two_pools();
	for (auto &&[member, value] :
	     {std::pair(&ObjectEdit::address, "198.51.100"), std::pair(&ObjectEdit::pool, "nope"),
	      std::pair(&ObjectEdit::protocol, "sctp"), std::pair(&ObjectEdit::forward, "gre")}) {
		ObjectEdit edit = www();
		edit.*member = value;
		const Status status = add_vip(config, edit);
		ASSERT_FALSE(status) << value;
		EXPECT_EQ(status.error().kind, Exit::kUsage);
	}
	ObjectEdit any = www();
	any.protocol = "any";
	EXPECT_FALSE(add_vip(config, any)); // it has no ports
	any.port = 0;
	EXPECT_TRUE(add_vip(config, any));
}

TEST(Edit, ABackendIsFoundByNamePoolAndAddress)
{
	Config config = two_pools();
	EXPECT_EQ(find_backend(config, "b12")->second->address.text(), "10.1.0.12");
	EXPECT_EQ(find_backend(config, "10.1.0.12")->first->name, "web");
	EXPECT_EQ(find_backend(config, "api/b11")->first->name, "api");
	EXPECT_FALSE(find_backend(config, "api/b12"));
	const auto both = find_backend(config, "b11");
	ASSERT_FALSE(both);
	EXPECT_NE(both.error().hint.find("web/b11"), std::string::npos);
	EXPECT_FALSE(del_backend(config, named("b11"))); // which one?
}

TEST(Edit, StateAndWeight)
{
	Config config = two_pools();
	ASSERT_TRUE(set_state(config, named("web/b11"), AX_BACKEND_DRAINING));
	EXPECT_EQ(config.pools[0].backends[0].state, AX_BACKEND_DRAINING);
	ObjectEdit edit = named("b12");
	edit.weight = 7;
	ASSERT_TRUE(set_weight(config, edit));
	EXPECT_EQ(config.pools[0].backends[1].weight, 7U);
	EXPECT_FALSE(set_weight(config, named("nope")));
}

} // namespace
} // namespace anycast
