// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "net/pcap.h"

#include <fstream>
#include <type_traits>

#include <gtest/gtest.h>
#include <unistd.h>

#include "support/packet.h"

namespace anycast::test {
namespace {

static_assert(!std::is_copy_constructible_v<CaptureReader>);
static_assert(std::is_nothrow_move_constructible_v<CaptureWriter>);

class PcapTest : public testing::Test {
protected:
	~PcapTest() override { ::unlink(path_.c_str()); }

	// A capture of microseconds, one packet.
	void write_capture(std::uint32_t link, const Bytes &packet, std::uint32_t length = 0)
	{
		std::ofstream out(path_, std::ios::binary);
		const auto size = static_cast<std::uint32_t>(packet.size());
		for (const std::uint32_t word : {0xa1b2c3d4u, 0x00040002u, 0u, 0u, 65535u, link})
			put(out, word);
		for (const std::uint32_t word : {7u, 123456u, size, length != 0 ? length : size})
			put(out, word);
		out.write(reinterpret_cast<const char *>(packet.data()),
			  static_cast<std::streamsize>(packet.size()));
	}

	// The only frame; a frame without bytes if it was skipped.
	CapturedFrame read_one(std::uint64_t skipped = 0)
	{
		auto reader = CaptureReader::open(path_);
		EXPECT_TRUE(reader) << reader.error().message();
		if (!reader)
			return {};
		auto frame = reader->next();
		EXPECT_TRUE(frame) << frame.error().message();
		EXPECT_EQ(reader->skipped(), skipped);
		return frame && *frame ? **frame : CapturedFrame{};
	}

	std::string path_ = testing::TempDir() + "ax_pcap_test." + std::to_string(::getpid());

private:
	static void put(std::ofstream &out, std::uint32_t word)
	{
		out.write(reinterpret_cast<const char *>(&word), sizeof(word));
	}
};

const Packet kIp4 = Ip4{} / Udp{} / Payload(5);
const Packet kIp6 = Ip6{} / Udp{} / Payload(5);

Bytes framed(const char *src, const Packet &packet)
{
	return (Eth{.dst = "00:00:00:00:00:00", .src = src} / packet).bytes();
}

Bytes behind(const char *header, const Packet &packet)
{
	return join({Packet::from_hex(header).bytes(), packet.bytes()});
}

constexpr const char *kNobody = "00:00:00:00:00:00";

TEST_F(PcapTest, WhatIsWrittenIsReadBack)
{
	const Packet first = Eth{} / kIp4, second = Eth{} / kIp6;
	{
		auto writer = CaptureWriter::create(path_);
		ASSERT_TRUE(writer) << writer.error().message();
		EXPECT_TRUE(writer->write(first, 1'700'000'000'123'456'789));
		CaptureWriter moved = std::move(*writer);
		EXPECT_TRUE(moved.write(second, 1'700'000'001'000'000'001, 1500));
		EXPECT_TRUE(moved.close());
	}
	auto opened = CaptureReader::open(path_);
	ASSERT_TRUE(opened) << opened.error().message();
	CaptureReader reader = std::move(*opened);
	EXPECT_EQ(reader.link_type(), "EN10MB");
	const CapturedFrame whole{first.bytes(), 1'700'000'000'123'456'789,
				  static_cast<std::uint32_t>(first.size())};
	const CapturedFrame cut{second.bytes(), 1'700'000'001'000'000'001, 1500};
	EXPECT_EQ(reader.next().value(), whole);
	EXPECT_EQ(reader.next().value(), cut);
	EXPECT_FALSE(whole.is_cut());
	EXPECT_TRUE(cut.is_cut());
	EXPECT_EQ(reader.next().value(), std::nullopt);
	EXPECT_EQ(reader.next().value(), std::nullopt);
}

TEST_F(PcapTest, MicrosecondsBecomeNanoseconds)
{
	write_capture(1, (Eth{} / kIp4).bytes());
	EXPECT_EQ(read_one().time_ns, 7'123'456'000u);
}

TEST_F(PcapTest, CookedCapturesGetAnEthernetHeader)
{
	write_capture(113, behind("0000 0001 0006 020000000001 0000 0800", kIp4));
	EXPECT_EQ(read_one().bytes, framed("02:00:00:00:00:01", kIp4));
	write_capture(113, behind("0000 0304 0000 0000000000000000 86dd", kIp6)); // no address
	EXPECT_EQ(read_one().bytes, framed(kNobody, kIp6));
	write_capture(276, behind("86dd 0000 00000002 0001 00 06 020000000001 0000", kIp6));
	EXPECT_EQ(read_one().bytes, framed("02:00:00:00:00:01", kIp6));
	// 802.2 LLC (a spanning-tree frame): its length is what Ethernet has for a type.
	write_capture(113, behind("0000 0001 0006 020000000001 0000 0004", Payload(38)));
	EXPECT_EQ(read_one().bytes,
		  (Eth{.dst = kNobody, .src = "02:00:00:00:00:01", .ethertype = 38} / Payload(38))
			  .bytes());
}

TEST_F(PcapTest, BareIpGetsAnEthernetHeader)
{
	write_capture(101, kIp4.bytes());
	EXPECT_EQ(read_one().bytes, framed(kNobody, kIp4));
	write_capture(101, kIp6.bytes());
	EXPECT_EQ(read_one().bytes, framed(kNobody, kIp6));
	write_capture(228, kIp4.bytes());
	EXPECT_EQ(read_one().bytes, framed(kNobody, kIp4));
	write_capture(229, kIp6.bytes());
	EXPECT_EQ(read_one().bytes, framed(kNobody, kIp6));
}

TEST_F(PcapTest, LoopbackFamiliesOfEverySystemAndByteOrder)
{
	for (const char *ip4 : {"02000000", "00000002"}) {
		write_capture(0, behind(ip4, kIp4));
		EXPECT_EQ(read_one().bytes, framed(kNobody, kIp4)) << ip4;
	}
	for (const char *ip6 : {"0a000000", "18000000", "1c000000", "1e000000", "0000001e"}) {
		write_capture(0, behind(ip6, kIp6));
		EXPECT_EQ(read_one().bytes, framed(kNobody, kIp6)) << ip6;
	}
	write_capture(108, behind("00000018", kIp6));
	EXPECT_EQ(read_one().bytes, framed(kNobody, kIp6));
}

TEST_F(PcapTest, ConvertedFramesKeepHowMuchWasCut)
{
	write_capture(113, behind("0000 0001 0006 020000000001 0000 0800", kIp4), 16 + 1000);
	EXPECT_EQ(read_one().original_length, 14u + 1000);
}

TEST_F(PcapTest, WhatCannotBeConvertedIsSkippedAndCounted)
{
	write_capture(113, {0, 0, 0, 1});
	EXPECT_EQ(read_one(1), CapturedFrame{});
	write_capture(113, behind("0000 0001 0006 020000000001 0000 0001", Payload(9)));
	EXPECT_EQ(read_one(1), CapturedFrame{});
	write_capture(276, {0x86, 0xdd});
	EXPECT_EQ(read_one(1), CapturedFrame{});
	write_capture(0, {2, 0, 0});
	EXPECT_EQ(read_one(1), CapturedFrame{});
	write_capture(0, behind("07000000", Payload(9))); // OSI
	EXPECT_EQ(read_one(1), CapturedFrame{});
	write_capture(101, {0x50});
	EXPECT_EQ(read_one(1), CapturedFrame{});
}

TEST_F(PcapTest, OtherLinkTypesAreRefusedByName)
{
	write_capture(127, Bytes(40));
	const auto reader = CaptureReader::open(path_);
	ASSERT_FALSE(reader);
	EXPECT_NE(reader.error().what.find("IEEE802_11_RADIO"), std::string::npos)
		<< reader.error().message();
	EXPECT_FALSE(reader.error().hint.empty());
}

TEST_F(PcapTest, ErrorsNameTheFile)
{
	const auto missing = CaptureReader::open("/nonexistent/a.pcap");
	ASSERT_FALSE(missing);
	EXPECT_EQ(missing.error().what,
		  "read capture /nonexistent/a.pcap: No such file or directory");
	std::ofstream(path_) << "no capture at all, but long enough to be one";
	const auto text = CaptureReader::open(path_);
	ASSERT_FALSE(text);
	EXPECT_NE(text.error().what.find(path_), std::string::npos) << text.error().what;
	const auto nowhere = CaptureWriter::create("/nonexistent/a.pcap");
	ASSERT_FALSE(nowhere);
	EXPECT_NE(nowhere.error().what.find("/nonexistent/a.pcap"), std::string::npos);
}

TEST_F(PcapTest, ATruncatedFileIsAnErrorNotAnEnd)
{
	write_capture(1, (Eth{} / kIp4).bytes());
	ASSERT_EQ(::truncate(path_.c_str(), 24 + 16 + 20), 0);
	auto reader = CaptureReader::open(path_);
	ASSERT_TRUE(reader);
	const auto frame = reader->next();
	ASSERT_FALSE(frame);
	EXPECT_NE(frame.error().what.find("truncated"), std::string::npos) << frame.error().what;
}

TEST_F(PcapTest, AFullDiskIsNoticed)
{
	auto writer = CaptureWriter::create("/dev/full");
	if (!writer) // the file header is flushed at once by some libpcaps
		return;
	(void)writer->write(Eth{} / kIp4, 0);
	const Status closed = writer->close();
	ASSERT_FALSE(closed);
	EXPECT_NE(closed.error().what.find("No space left"), std::string::npos);
}

TEST_F(PcapTest, FramesNobodyCouldReadAreNotWritten)
{
	auto writer = CaptureWriter::create(path_);
	ASSERT_TRUE(writer);
	EXPECT_TRUE(writer->write(Bytes(262144), 0));
	EXPECT_FALSE(writer->write(Bytes(262145), 0));
}

} // namespace
} // namespace anycast::test
