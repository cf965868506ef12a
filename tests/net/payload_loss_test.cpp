// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VIPs that declare RTP, DNS and QUIC: real sockets on both sides; who leaves datagrams out counts
// them.
#include <thread>

#include <gmock/gmock.h>

#include "net/datagram_sender.h"
#include "support/in_lab.h"
#include "support/loss_lab.h"

namespace anycast::test {

namespace {

constexpr std::uint16_t kRtp = 5004, kQuic = 4433;

std::string vips()
{
	std::string text = "[[pools]]\nname = \"media\"\n[[pools.backends]]\nname = \"self\"\n"
			   "address = \"203.0.113.1\"\n";
	for (const auto &[name, port] :
	     {std::pair{"rtp", kRtp}, std::pair{"dns", kDns}, std::pair{"quic", kQuic}})
		text += std::string("[[vips]]\nname = \"") + name + "\"\naddress = \"" + kVip +
			"\"\nport = " + std::to_string(port) +
			"\nprotocol = \"udp\"\npool = \"media\"\nmeasure = \"" + name + "\"\n";
	return text;
}

nlohmann::json flow_of(const LossLab &lab, const std::string &vip)
{
	const auto report = lab.cli.ask(lab.node.netns, {"loss", "--vip", vip});
	if (report.at("flows").size() != 1)
		throw LabError(report.dump(1));
	return report.at("flows").at(0);
}

nlohmann::json since_attach(const LossLab &lab, const std::string &vip)
{
	return lab.cli.ask(lab.node.netns, {"loss", "--by", "vip", "--vip", vip})
		.at("vips")
		.at(0)
		.at("since_attach");
}

void expect_figure(const nlohmann::json &figure, std::uint64_t value, const char *kind,
		   const char *basis)
{
	EXPECT_EQ(figure.at("value"), value) << figure.dump();
	EXPECT_EQ(figure.at("kind"), kind);
	EXPECT_EQ(figure.at("basis"), basis);
	EXPECT_GT(figure.at("of"), value);
	EXPECT_GT(figure.at("rate"), 0);
}

} // namespace

TEST(PayloadLoss, RtpNumbersThatNeverCame)
{
	in_lab([] {
		LossConditions conditions;
		conditions.extra = vips();
		LossLab lab(conditions);
		DatagramSender client(lab.client, kRtp);
		std::uint64_t left_out = 0, of = 0;
		for (std::uint32_t number = 64900; number < 66900; number++, of++) { // wraps
			if (number % 37 == 5 && number < 66800) {
				left_out++;
				continue;
			}
			const auto high = static_cast<std::uint8_t>(number >> 8);
			client.send({0x80, 96, high, static_cast<std::uint8_t>(number), 0, 0, 0, 0,
				     0, 0, 0x12, 0x34, 1, 2, 3, 4});
		}
		std::this_thread::sleep_for(milliseconds(200) * slowness());
		EXPECT_GT(left_out, 40U);
		const auto flow = flow_of(lab, "rtp");
		expect_figure(flow.at("rtp_lost"), left_out, "exact", "rtp");
		EXPECT_EQ(flow.at("rtp_lost").at("of"), of);
		EXPECT_TRUE(flow.at("c2s_up_lost").at("value").is_null());
		expect_figure(since_attach(lab, "rtp").at("rtp_lost"), left_out, "exact", "rtp");
		EXPECT_TRUE(since_attach(lab, "rtp").at("c2s_up_lost").at("value").is_null());
	});
}

TEST(PayloadLoss, DnsQueriesWithoutAnswerAndAgain)
{
	in_lab([] {
		LossConditions conditions;
		conditions.extra = vips();
		LossLab lab(conditions);
		const Process server = Process::call(lab.node.netns, answer_queries,
						     std::string(kLabDir) + "/dns.log");
		std::this_thread::sleep_for(milliseconds(300) * slowness());
		DatagramSender client(lab.client, kDns);
		std::uint64_t unanswered = 0, again = 0;
		for (std::uint8_t id = 0; id < 200; id++) {
			const auto query = dns_query(id);
			client.send(query);
			unanswered += id % kUnanswered == 0;
			if (id % 25 != 3)
				continue;
			client.send(query);
			again++;
		}
		std::this_thread::sleep_for(milliseconds(300) * slowness());
		const auto flow = flow_of(lab, "dns");
		expect_figure(flow.at("dns_unanswered"), unanswered, "estimate", "dns");
		expect_figure(flow.at("dns_repeat"), again, "upper_bound", "dns");
		EXPECT_EQ(flow.at("dns_repeat").at("of"), 200);
		const auto ever = since_attach(lab, "dns");
		expect_figure(ever.at("dns_unanswered"), unanswered, "estimate", "dns");
		expect_figure(ever.at("dns_repeat"), again, "upper_bound", "dns");
	});
}

TEST(PayloadLoss, QuicLossBits)
{
	in_lab([] {
		LossConditions conditions;
		conditions.extra = vips();
		LossLab lab(conditions);
		DatagramSender client(lab.client, kQuic);
		std::uint64_t left_out = 0, told = 0;
		for (unsigned number = 0; number < 64 * 20; number++) {
			const unsigned block = number / 64;
			if (block >= 1 && block < 18 && number % 21 == 4) {
				left_out++;
				continue;
			}
			const bool says_lost = number % 50 == 10;
			told += says_lost;
			client.send({static_cast<std::uint8_t>(0x40 | (block % 2) << 4 |
							       (says_lost ? 8 : 0)),
				     1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
		}
		std::this_thread::sleep_for(milliseconds(200) * slowness());
		const auto flow = flow_of(lab, "quic");
		expect_figure(flow.at("quic_lost"), left_out, "estimate", "q_bit");
		expect_figure(flow.at("quic_lost_end_to_end"), told, "estimate", "l_bit");
		expect_figure(since_attach(lab, "quic").at("quic_lost"), left_out, "estimate",
			      "q_bit");
	});
}

// The same ports, undeclared: nothing is read out of the payload.
TEST(PayloadLoss, NobodyMeasuresWhatNobodyDeclares)
{
	in_lab([] {
		std::string undeclared = vips();
		for (auto at = undeclared.find("measure"); at != undeclared.npos;
		     at = undeclared.find("measure", at))
			undeclared.replace(at, 7, "# meas");
		LossConditions conditions;
		conditions.extra = undeclared;
		LossLab lab(conditions);
		DatagramSender client(lab.client, kRtp);
		for (std::uint8_t number = 0; number < 100; number += 2)
			client.send(
				{0x80, 96, 0, number, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 1, 2, 3, 4});
		std::this_thread::sleep_for(milliseconds(200) * slowness());
		const auto flow = flow_of(lab, "rtp");
		EXPECT_EQ(flow.at("loss_unknown"), "protocol");
		EXPECT_FALSE(flow.contains("rtp_lost"));
		EXPECT_FALSE(since_attach(lab, "rtp").contains("rtp_lost"));
		EXPECT_TRUE(since_attach(lab, "rtp").at("c2s_up_lost").at("value").is_null());
	});
}

} // namespace anycast::test
