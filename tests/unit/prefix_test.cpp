// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Prefixes, and VIPs that are one: in the file, in edits, in the image.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <anycast_xdp/hash.h>

#include "bird/include_file.h"
#include "config/config.h"
#include "core/announcement.h"
#include "core/edit.h"
#include "core/model_json.h"
#include "core/vip_keys.h"
#include "core/vip_places.h"
#include "image_parts.h"

namespace anycast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Prefix prefix(const std::string &text)
{
	return *Prefix::parse(text);
}

Vip vip_of(const std::string &name, const std::string &place, std::uint16_t port = 80,
	   std::uint8_t protocol = 6)
{
	const Prefix where = prefix(place);
	Vip made = vip(name, where.address.text(), port, protocol);
	made.prefix = where.is_host() ? std::uint8_t{0} : where.bits;
	return made;
}

// A file of one pool and these VIPs; each is "name place", and may have more lines.
std::string file_of(const std::vector<std::string> &vips)
{
	std::string text = "[node]\nhash_seed = \"000102030405060708090a0b0c0d0e0f\"\n"
			   "interfaces = [\"eth0\"]\n"
			   "[[pools]]\nname = \"web\"\nbackends = [{address = \"10.1.0.11\"}, "
			   "{address = \"2001:db8:b::1\"}]\n";
	for (const std::string &line : vips) {
		const std::size_t blank = line.find(' '), end = line.find('\n');
		text += "[[vips]]\nname = \"" + line.substr(0, blank) + "\"\naddress = \"" +
			line.substr(blank + 1, end - blank - 1) +
			"\"\nport = 80\npool = \"web\"\n" +
			(end == line.npos ? "" : line.substr(end + 1));
	}
	return text;
}

std::string mistakes(const std::vector<std::string> &vips)
{
	const auto parsed = parse_config(file_of(vips), "f");
	return parsed ? "" : parsed.error().what;
}

} // namespace

TEST(Prefix, ParsesAndContains)
{
	EXPECT_EQ(prefix("192.0.2.0/24").text(), "192.0.2.0/24");
	EXPECT_EQ(prefix("192.0.2.1").bits, 32);
	EXPECT_TRUE(prefix("2001:db8::/128").is_host());
	for (const char *wrong : {"192.0.2.0/33", "192.0.2.0/", "192.0.2.0/24x", "192.0.2.0/-1",
				  "2001:db8::/129", "192.0.2/24", "/24", "192.0.2.0/024 "})
		EXPECT_FALSE(Prefix::parse(wrong)) << wrong;

	EXPECT_TRUE(prefix("192.0.2.0/24").contains(address("192.0.2.255")));
	EXPECT_FALSE(prefix("192.0.2.0/24").contains(address("192.0.3.0")));
	EXPECT_TRUE(prefix("192.0.2.128/25").contains(address("192.0.2.128")));
	EXPECT_FALSE(prefix("192.0.2.128/25").contains(address("192.0.2.127")));
	EXPECT_TRUE(prefix("2001:db8::/33").contains(address("2001:db8:7fff::1")));
	EXPECT_FALSE(prefix("2001:db8::/33").contains(address("2001:db8:8000::1")));
	EXPECT_FALSE(prefix("::/16").contains(address("192.0.2.1"))) << "mapped is IPv4";
	EXPECT_TRUE(prefix("192.0.2.0/24").overlaps(prefix("192.0.2.64/26")));
	EXPECT_TRUE(prefix("192.0.2.64/26").overlaps(prefix("192.0.2.0/24")));
	EXPECT_FALSE(prefix("192.0.2.0/26").overlaps(prefix("192.0.2.64/26")));
}

TEST(PrefixVip, IsReadWrittenAndKept)
{
	const auto parsed = parse_config(
		file_of({"net 198.51.100.0/24", "one 198.51.100.7", "six 2001:db8:5::/48"}), "f");
	ASSERT_TRUE(parsed) << parsed.error().what;
	const Config &config = parsed->config;
	EXPECT_EQ(config.vips[0].address, address("198.51.100.0"));
	EXPECT_EQ(config.vips[0].prefix, 24);
	EXPECT_EQ(config.vips[1].prefix, 0);
	EXPECT_EQ(place_of(config.vips[2]), "2001:db8:5::/48");
	EXPECT_THAT(single_vips(config), ElementsAre(address("198.51.100.7")));
	EXPECT_THAT(prefix_vips(config),
		    ElementsAre(prefix("198.51.100.0/24"), prefix("2001:db8:5::/48")));

	const auto again = parse_config(to_toml(config), "again");
	ASSERT_TRUE(again) << again.error().what;
	EXPECT_EQ(again->config, config);
	const auto host = parse_config(file_of({"one 198.51.100.7/32"}), "f");
	ASSERT_TRUE(host);
	EXPECT_EQ(host->config.vips[0].prefix, 0) << "a host route's length says nothing";
}

TEST(PrefixVip, MistakesAreNamed)
{
	EXPECT_THAT(mistakes({"a 198.51.100.1/24"}),
		    HasSubstr("\"198.51.100.1/24\" has bits behind the prefix; 198.51.100.0/24 is "
			      "the prefix, 198.51.100.1 the address alone"));
	EXPECT_THAT(mistakes({"a 198.51.100.0/33"}), HasSubstr("is no IPv4 or IPv6 prefix"));
	EXPECT_THAT(mistakes({"a 64.0.0.0/2"}),
		    HasSubstr("64.0.0.0/2 is more than a VIP can be: at least /8"));
	EXPECT_THAT(mistakes({"a 2000::/3"}), HasSubstr("at least /16"));
	EXPECT_THAT(mistakes({"a 198.51.100.0/24", "b 198.51.100.0/24"}),
		    HasSubstr("duplicate VIP 198.51.100.0/24 port 80 protocol tcp"));
	EXPECT_THAT(mistakes({"a 10.1.0.0/24"}),
		    HasSubstr("10.1.0.11 is within VIP a: packets would go round in circles"));
	EXPECT_THAT(mistakes({"a 198.51.100.0/24\n[[vips.checks]]\ntype = \"tcp\"\n"}),
		    HasSubstr("vips.checks.target: a is many addresses"));
}

TEST(PrefixVip, OverlapsAreRefusedButForAddressesWithin)
{
	EXPECT_THAT(mistakes({"a 198.51.100.0/24", "b 198.51.100.128/25"}),
		    HasSubstr("198.51.100.128/25 overlaps 198.51.100.0/24 of VIP a on line "));
	EXPECT_THAT(mistakes({"b 198.51.100.0/25", "a 198.51.100.0/24"}), HasSubstr("overlaps"));
	// Behind something that lies within the first, too.
	EXPECT_THAT(mistakes({"a 198.51.0.0/16", "b 198.51.1.1", "c 198.51.2.0/24"}),
		    HasSubstr("198.51.2.0/24 overlaps 198.51.0.0/16"));
	EXPECT_EQ(mistakes({"a 198.51.100.0/24", "b 198.51.100.7", "c 198.51.101.0/24"}), "");
	EXPECT_THAT(mistakes({"a 198.51.100.0/24", "b 198.51.100.0"}),
		    HasSubstr("198.51.100.0 overlaps 198.51.100.0/24"));
	EXPECT_EQ(mistakes({"a 198.51.100.0/24", "b 198.51.100.0/24\nprotocol = \"udp\"\n"}), "");
}

TEST(PrefixVip, IsAddedAndDeletedByEdits)
{
	Config config = three_backends();
	ObjectEdit edit;
	edit.name = "net";
	edit.address = "203.0.113.0/24";
	edit.pool = "web";
	ASSERT_TRUE(add_vip(config, edit));
	EXPECT_EQ(config.vips[1].prefix, 24);
	ASSERT_TRUE(add_vip(config, edit)) << "the same again is no change";
	EXPECT_EQ(config.vips.size(), 2U);
	edit.name = "other";
	EXPECT_FALSE(add_vip(config, edit));
	edit.address = "203.0.113.0/40";
	EXPECT_FALSE(add_vip(config, edit));
	edit.name = "net";
	ASSERT_TRUE(del_vip(config, edit));
	EXPECT_EQ(config.vips.size(), 1U);
}

TEST(PrefixVip, HasKeysOfItsOwnAndItsFilterBits)
{
	Config config = three_backends();
	config.vips = {vip_of("one", "198.51.100.0"), vip_of("net", "198.51.101.0/24", 0),
		       vip_of("dns", "198.51.101.0/24", 53, 17)};
	const Image image = compiled(config);

	ASSERT_EQ(image.prefixes.size(), 1U);
	EXPECT_EQ(Address(image.prefixes[0].addr), address("198.51.101.0"));
	EXPECT_EQ(image.prefixes[0].bits, 120);
	EXPECT_TRUE(image.settings.flags & AX_SETTINGS_PREFIX);
	for (const auto &[key, id] : image.vip_keys)
		EXPECT_EQ(key.bits, id == 0 ? 0 : 120) << id;
	const auto bit = [](const ax_settings &settings, const std::string &text) {
		const std::uint32_t at = ax_filter_bit(address(text).raw().word[3]);
		return settings.vip_filter[at / 64] >> (at % 64) & 1;
	};
	for (const char *in : {"198.51.101.0", "198.51.101.77", "198.51.101.255", "198.51.100.0"})
		EXPECT_TRUE(bit(image.settings, in)) << in;
	EXPECT_FALSE(bit(image.settings, "198.51.102.1"));

	config.vips = {vip_of("six", "2001:db8:5::/48")};
	const Image large = compiled(config);
	EXPECT_TRUE(bit(large.settings, "198.51.102.1")) << "too many to tell one by one";
	EXPECT_NE(large.digest, image.digest);
	config.vips = {vip("www", "198.51.100.1")};
	EXPECT_FALSE(compiled(config).settings.flags & AX_SETTINGS_PREFIX);
}

// What is served within the prefix is no address to send tunnels from or to end them at.
TEST(PrefixVip, AddressesWithinAreNoneOfTheNodesOwn)
{
	Config config = three_backends();
	config.vips = {vip_of("net", "10.9.0.0/16")};
	NodeFacts facts = kFacts;
	facts.interface_addresses.insert(facts.interface_addresses.begin(), address("10.9.1.1"));
	EXPECT_EQ(Address(compiled(config, facts).settings.source4), address("10.1.0.1"));
	config.vips[0].prefix = 24;
	EXPECT_EQ(Address(compiled(config, facts).settings.source4), address("10.9.1.1"));
}

TEST(PrefixVip, IsAnotherServiceThanItsFirstAddress)
{
	Config config = three_backends();
	config.vips = {vip_of("net", "198.51.100.0/24")};
	const Image before = compiled(config);
	config.vips = {vip_of("net", "198.51.100.0/25")};
	const Image after = compiled(config, kFacts, before.ids);
	EXPECT_NE(after.ids.vips[0].gen, before.ids.vips[0].gen);
}

TEST(PrefixVip, IsAnnouncedAsThePrefix)
{
	Config config = three_backends();
	config.vips = {vip_of("net", "198.51.100.0/24"), vip_of("one", "198.51.100.7"),
		       vip_of("six", "2001:db8:5::/48")};
	config.bird.asn = 64512;
	const Wanted wanted = wanted_for(config, {{address("198.51.100.0"), Reach::kAnnounced},
						  {address("198.51.100.7"), Reach::kAnnounced},
						  {address("2001:db8:5::"), Reach::kDraining}});
	const std::string text = bird::include_text(wanted);
	EXPECT_THAT(text, HasSubstr("\t198.51.100.0/24,\n\t198.51.100.7/32\n"));
	EXPECT_THAT(text, HasSubstr("\troute 198.51.100.0/24 blackhole;\n"));
	EXPECT_THAT(text, HasSubstr("\troute 198.51.100.7/32 blackhole;\n"));
	EXPECT_THAT(text, HasSubstr("\troute 2001:db8:5::/48 blackhole {"));
	const auto reach = bird::reach_in(text);
	ASSERT_TRUE(reach);
	EXPECT_EQ(reach->at(address("2001:db8:5::")), Reach::kDraining);
}

} // namespace anycast
