"""Make the PDF, DOCX, PPTX and XLSX files of the sample documents.

Needs Python 3.10 or later and the packages fpdf2, fonttools (comes with fpdf2),
python-docx, python-pptx and openpyxl. The committed files were made with
fpdf2 2.8.9, python-docx 1.2.0, python-pptx 1.0.2 and openpyxl 3.1.5.

The Chinese PDF embeds the glyphs it uses from a font given with ``--font``.
The committed file was made with LXGWWenKai-Regular.ttf from the Debian package
fonts-lxgw-wenkai 1.250 (SIL Open Font License 1.1); another TrueType font with
Chinese and Latin glyphs works too, but gives other bytes.

    python make_binary.py --font /usr/share/fonts/truetype/lxgw-wenkai/LXGWWenKai-Regular.ttf

Dates and ids are fixed, so the same package versions give the same bytes again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import docx
import openpyxl
import pptx
from docx.shared import Pt
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from openpyxl.styles import Font
from pptx.util import Inches

HERE = Path(__file__).resolve().parent
STAMP = dt.datetime(2025, 7, 10, 9, 0, 0, tzinfo=dt.timezone.utc)  # noqa: UP017
COMPANY = "Hallowfen Instruments Ltd."

EN_PDF = "manuals/vc-8-controller-manual.pdf"
ZH_PDF = "产品手册/VC-4阀门控制器使用说明.pdf"
DOCX = "support/repair-centre-procedure.docx"
PPTX = "sales/dealer-training-2025.pptx"
XLSX = "sales/租赁设备价格2025.xlsx"


class Block(NamedTuple):
    """One block of a PDF: a heading, a paragraph, a list or a table."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    widths: tuple[int, ...] = ()


def h1(text: str) -> Block:
    """Return a chapter heading."""
    return Block("h1", text)


def h2(text: str) -> Block:
    """Return a section heading."""
    return Block("h2", text)


def para(text: str) -> Block:
    """Return a paragraph."""
    return Block("p", text)


def items(*texts: str) -> Block:
    """Return a list with bullets."""
    return Block("ul", rows=tuple((t,) for t in texts))


def steps(*texts: str) -> Block:
    """Return a numbered list."""
    return Block("ol", rows=tuple((t,) for t in texts))


def table(widths: tuple[int, ...], *rows: tuple[str, ...]) -> Block:
    """Return a table; the first row is the head, widths are in millimetres."""
    return Block("table", rows=rows, widths=widths)


# --- manuals/vc-8-controller-manual.pdf ---------------------------------------------

EN_TITLE = "VC-8 and VC-8S valve controllers"
EN_SUBTITLE = "Installation and operation manual"
EN_NOTE = "Document VC8-OM-06, issue 6, 10 July 2025. For firmware 3.4.1."
EN_FOOTER = "Hallowfen VC-8 / VC-8S manual, issue 6"

EN_BLOCKS: tuple[Block, ...] = (
    para(
        "This manual describes two controllers that are used in the same way but are supplied with power in "
        "different ways. The VC-8 runs on mains power through a transformer. The VC-8S runs on a solar panel and "
        "a battery. Where a paragraph is valid for one of them only, the text says so. The small VC-4 is described "
        "in a separate booklet."
    ),
    h1("1 Safety"),
    para(
        "Read this chapter before you open the cabinet. The controller moves water under pressure and can start "
        "at any time."
    ),
    items(
        "Switch off the mains before you open the lower cover of a VC-8. The terminals L and N carry 230 V.",
        "Close the hand valve at the source before you work on pipes, even if the display says OFF.",
        "Mains wiring of the VC-8 must be done by a qualified electrician and protected by a 30 mA residual "
        "current device.",
        "Do not open the battery pack of a VC-8S. Never charge it with a car charger.",
        "Keep a distance of 3 m between the controller and any high-voltage equipment such as pump inverters.",
    ),
    h2("1.1 Intended use"),
    para(
        "The controllers switch electric valves for irrigation with cold water. They must not be used for drinking "
        "water, for fire extinguishing systems, for gas, or for dosing acids."
    ),
    h1("2 Technical data"),
    table(
        (66, 54, 54),
        ("Property", "VC-8", "VC-8S"),
        ("Stations", "8", "8"),
        ("Valve type", "24 V AC solenoid", "9 V DC latching"),
        ("Current per station", "0.3 A at most", "pulse of 80 ms"),
        ("Stations open at the same time", "2 plus master valve", "3 plus master valve"),
        ("Supply", "230 V AC, transformer 40 VA", "10 W panel, LiFePO4 12.8 V 6 Ah"),
        ("Working time without supply", "none (clock 30 days)", "12 days"),
        ("Longest cable, 1.5 mm²", "300 m", "150 m"),
        ("Protection class", "IP54", "IP66"),
        ("Operating temperature", "-10 to 45 °C", "-20 to 55 °C"),
        ("Size", "240 x 190 x 95 mm", "260 x 210 x 120 mm"),
        ("Weight", "1.9 kg", "3.4 kg without panel"),
        ("Fuse", "T1.25 A, replaceable", "electronic, resets itself"),
        ("Programs", "16, with 4 starts each", "16, with 4 starts each"),
    ),
    para(
        "The 12 days of the VC-8S are valid for two waterings a day with four stations and a radio contact every "
        "minute. The battery is charged only above 0 °C; below that the controller works on, but only discharges."
    ),
    para(
        "The clock of both models is kept by a CR2032 cell. Programs are stored in flash memory and are never lost "
        "through a power cut."
    ),
    h1("3 Mounting and wiring"),
    h2("3.1 Place"),
    items(
        "VC-8: indoors or in a closed cabinet, never in rain.",
        "VC-8S: on a post or a wall, with the panel facing south at a tilt of 40 degrees. From October to March "
        "nothing may shade the panel between 10:00 and 14:00.",
        "Both: 1.5 m above the ground, so that the display is at eye level and out of splash water.",
    ),
    h2("3.2 Terminals"),
    table(
        (30, 144),
        ("Terminal", "Use"),
        ("C", "common wire of all valves; two clamps, both connected"),
        ("1 to 8", "stations"),
        ("MV", "master valve or pump relay"),
        ("RS", "rain sensor; a wire bridge is fitted at the factory"),
        ("FM+ / FM-", "flow meter with pulse output, 100 pulses per second at most"),
        ("L / N / PE", "mains, VC-8 only"),
        ("PV+ / PV-", "solar panel, VC-8S only; the charger takes 20 W at most"),
    ),
    h2("3.3 Wiring the valves"),
    steps(
        "Connect the common wire to C first, then the stations. Tighten the screws to 0.5 Nm.",
        "Use gel-filled connectors for every joint that lies outdoors. Other joints corrode within a season and "
        "are not covered by the warranty.",
        "With latching coils (VC-8S) watch the polarity: red to the station, black to C. A valve that opens when "
        "it should close is connected the wrong way round.",
        "Remove the wire bridge on RS only if you connect a rain sensor.",
        "Measure each station before you switch on: 20 to 60 ohm with 24 V coils, 3 to 10 ohm with latching coils.",
    ),
    h2("3.4 Longer cables"),
    para(
        "With a cross-section of 2.5 mm² the permitted cable length rises to 480 m for the VC-8 and to 240 m for "
        "the VC-8S. Do not run valve cables in one trench with mains cables; keep 30 cm apart."
    ),
    h2("3.5 Pump start relay"),
    para(
        "A pump must never be connected to MV directly. Use a relay with a 24 V AC coil (VC-8) of 5 VA or less. "
        "The VC-8S cannot drive a pump relay, because its outputs give pulses only."
    ),
    h1("4 First start"),
    steps(
        "Switch on. The display shows the firmware version and then asks for the language.",
        "Set date and time. If the controller has joined a gateway, it takes the time from there.",
        "Join the gateway: Menu, Radio, Join. Open the join window on the gateway beforehand.",
        "Run Test all: each station opens for 2 minutes. Walk along and look.",
        "Set the user PIN if other people have access. The installer PIN is 2580 at delivery; change it.",
    ),
    para("The controller can be used without a gateway. It then has no remote control and no weather functions."),
    h1("5 Programs"),
    h2("5.1 Making a program"),
    para(
        "A program has up to 4 start times, a list of stations with their run time, and the days on which it runs. "
        "Run times go from 1 minute to 12 hours."
    ),
    items(
        "Days: every day, chosen weekdays, odd or even dates, or every 2 to 14 days.",
        "Stations in one program run one after the other in the order of their numbers.",
        "If two programs overlap, the one with the lower number runs first and the other waits.",
        "A program that has waited for more than 6 hours is dropped and entered in the log.",
    ),
    h2("5.2 Seasonal adjust"),
    para(
        "All run times can be multiplied by 10 to 200 %. Choose By hand, By month, or By ET0. By ET0 needs a WS-10 "
        "weather station and a FenView Standard or Pro plan. The value is limited to 160 % when it comes from ET0."
    ),
    h2("5.3 Cycle and soak"),
    para(
        "On slopes and heavy soil the run time can be divided into up to 6 cycles with a pause of 5 to 60 minutes "
        "between them. Start with 3 cycles and 20 minutes of pause on clay."
    ),
    h2("5.4 Manual run"),
    para(
        "Manual opens one station for 10 minutes unless you choose another time. The rain sensor is ignored during "
        "a manual run, the flow limit is not."
    ),
    h2("5.5 Rain delay"),
    para(
        "With Rain delay all programs can be held back for 1 to 14 days. They start again by themselves at the end "
        "of the delay."
    ),
    h1("6 Flow meter and master valve"),
    h2("6.1 Setting up the flow meter"),
    steps(
        "Enter the pulse value: 1 litre per pulse for the 1 inch meter, 10 litres per pulse for the 2 inch meter.",
        "Start Learn flow. The controller opens each station for 3 minutes and stores its normal flow.",
        "Choose what happens at high flow (E06) and at low flow (E07).",
    ),
    para(
        "The alarm for high flow is raised at 130 % of the learned flow after 30 seconds, the alarm for low flow at "
        "60 % after 5 minutes. Repeat Learn flow whenever nozzles or pressure have been changed."
    ),
    h2("6.2 Master valve"),
    para(
        "The master valve opens 2 seconds before a station and closes 5 seconds after it. Both times can be set "
        "from 0 to 300 seconds. Use a longer closing time on pipes of more than 400 m to avoid water hammer."
    ),
    h2("6.3 Leak watch"),
    para(
        "When no station is open, the controller counts the pulses of the meter. More than 40 litres in an hour "
        "give the message Leak in FenView. Leak watch needs a master valve upstream of the meter to be left open, "
        "so switch it off on systems with a normally closed master valve."
    ),
    h1("7 Maintenance"),
    table(
        (54, 120),
        ("When", "What"),
        ("Every spring", "Test all; measure coils; repeat Learn flow"),
        ("Every month in the season", "VC-8S: wipe the panel; both: look for insects in the case"),
        ("Before the first frost", "drain the pipes, set Rain delay or OFF"),
        ("Every 3 years", "replace the CR2032 cell with the supply switched on"),
        ("Every 6 years", "VC-8S: replace the LiFePO4 battery (part HF-1141)"),
    ),
    h2("7.1 Winter"),
    para(
        "Blow out the pipes with compressed air of 3.5 bar at most, station by station, for 2 minutes each. Air at "
        "a higher pressure damages flow meters. A VC-8S that stays outdoors should keep its panel connected; a "
        "battery that is stored indoors must be recharged every 4 months."
    ),
    h2("7.2 Replacing the fuse (VC-8)"),
    para(
        "Switch off the mains, open the lower cover and pull out the fuse beside the transformer terminals. Fit a "
        "T1.25 A fuse only. If it blows again at once, disconnect all stations and connect them one by one."
    ),
    h1("8 Troubleshooting"),
    table(
        (62, 112),
        ("What you see", "What to do"),
        ("Display dark, VC-8", "check mains and fuse; measure 24 to 28 V AC at the transformer"),
        ("Display dark, VC-8S", "press any key; below 11.6 V the display stays off to save power"),
        ("Station does not open", "run it by hand, then see E03 in the list of error codes"),
        ("Station does not close", "turn the bleed screw; clean the diaphragm; check polarity (VC-8S)"),
        ("Programs do not start", "look for Rain delay, for the wire bridge on RS and for E01"),
        ("Waters at the wrong time", "check summer time and the list of start times"),
        ("Too much water", "check Seasonal adjust; with firmware 3.4.0 see the release notes"),
    ),
    para(
        "The full list of error codes is kept in support note SN-014, because it changes more often than this manual."
    ),
    h2("8.1 Factory reset"),
    para(
        "Hold Menu and OK together for 10 seconds and enter the installer PIN. All programs are deleted, the event "
        "log is kept. A back-up in FenView can be restored within 90 days."
    ),
    h2("8.2 Event log"),
    para("The log keeps the last 500 events. It can be read on the display or exported in FenView as CSV."),
    h1("9 Factory settings"),
    table(
        (70, 50, 54),
        ("Setting", "Value", "Range"),
        ("Language", "English", "English, German, French, Spanish"),
        ("User PIN", "off", "off, or four digits"),
        ("Display switches off after", "60 seconds", "20 to 300 seconds"),
        ("Delay between two stations", "5 seconds", "0 to 600 seconds"),
        ("Master valve, opening lead", "2 seconds", "0 to 300 seconds"),
        ("Master valve, closing delay", "5 seconds", "0 to 300 seconds"),
        ("High flow limit", "130 %", "110 to 150 %"),
        ("Low flow limit", "60 %", "20 to 90 %"),
        ("Test all, time for each station", "2 minutes", "1 to 10 minutes"),
        ("Rain sensor contact", "normally closed", "normally closed or open"),
        ("Radio contact", "every minute", "1 to 15 minutes"),
    ),
    h1("10 Words used in this manual"),
    items(
        "Station: one output with the valve, or the group of valves, connected to it.",
        "Latching coil: a coil that needs power only for the moment in which it opens or closes.",
        "ET0: the water that a short green lawn would use on that day, in millimetres.",
        "Learned flow: the flow that the controller has measured for a station in good order.",
    ),
    h1("11 Disposal"),
    para(
        "Controllers do not belong in household waste. Hallowfen takes back old devices free of charge if they are "
        "sent in carriage paid. Remove the LiFePO4 battery and take it to a battery collection point."
    ),
)

# --- 产品手册/VC-4阀门控制器使用说明.pdf ----------------------------------------------

ZH_TITLE = "VC-4 阀门控制器使用说明"
ZH_SUBTITLE = "四路电池供电灌溉控制器"
ZH_NOTE = "文件编号 VC4-CN-05　第 5 版　2025 年 4 月 8 日　适用固件 2.1.3"
ZH_FOOTER = "禾雾仪器（苏州）有限公司　VC-4 使用说明　第 5 版"

ZH_BLOCKS: tuple[Block, ...] = (
    h1("1 产品概述"),
    para(
        "VC-4 是一款用干电池供电的四路阀门控制器，适合小地块、大棚和茶园。本机没有显示屏，所有设置通过"
        "手机蓝牙或 FenView 平台完成。与 VC-8、VC-8S 不同，本机不能接流量计，也没有总阀输出。"
    ),
    para("国内版使用 470 MHz 频段，须与国内版 GW-2 或 GW-3 网关配合。不接网关时，可只用手机蓝牙操作。"),
    h2("1.1 装箱清单"),
    items("VC-4 控制器 1 台", "安装支架和不锈钢螺丝 1 套", "防水接线端子 8 只", "本说明书和合格证各 1 份"),
    para("电池和电磁阀不随机提供，需另行购买。"),
    h1("2 技术参数"),
    table(
        (52, 122),
        ("项目", "参数"),
        ("输出路数", "4 路，同一时间只开 1 路"),
        ("阀门类型", "9 V 直流脉冲（自保持）电磁阀，两线"),
        ("电源", "4 节 5 号碱性电池"),
        ("电池寿命", "约 9 个月（每天浇水两次）"),
        ("程序数量", "6 个，每个程序 4 个启动时间"),
        ("单次运行时间", "1～360 分钟"),
        ("蓝牙距离", "8 米以内"),
        ("阀线最大长度", "30 米（线径 1.0 平方毫米）"),
        ("防护等级", "IP66"),
        ("工作温度", "-5～50 ℃"),
        ("适用水压", "0.1～0.8 MPa"),
        ("外形尺寸", "150 × 110 × 62 毫米"),
    ),
    h1("3 安装"),
    h2("3.1 安装位置"),
    items(
        "可以装在阀门井内，但机体底部应高出井底 20 厘米。",
        "不要装在铁皮箱内，金属会屏蔽无线信号。",
        "避免夏季阳光直射，机内温度过高会缩短电池寿命。",
        "多台 VC-4 相邻安装时，彼此间隔不少于 30 厘米。",
    ),
    h2("3.2 接线"),
    steps(
        "取下前盖，把公共线接到 C 端子。",
        "把各阀的另一根线接到 1～4 号端子，红线接端子，黑线接公共线。",
        "户外接头必须使用防水接线端子，不得只用电工胶布包裹。",
        "雨量开关接到 R 端子；不接时保持短接片不动。",
    ),
    para(
        "水源前应安装 120 目过滤器，否则脉冲阀容易被泥沙卡住。水压高于 0.8 MPa 的，应在过滤器后加装减压阀；"
        "低于 0.1 MPa 时，膜片阀无法完全关闭，可能出现滴漏。"
    ),
    h2("3.3 装电池"),
    para(
        "打开电池仓，按标记方向装入 4 节新的碱性电池。不要使用碳性电池，碳性电池一般只能用一个月左右。也不建议使用"
        "镍氢充电电池，其电压偏低，会过早报警。新旧电池不得混用。更换电池时程序不会丢失，但取出电池超过 10 分钟后"
        "需要重新对时。"
    ),
    h1("4 手机设置"),
    h2("4.1 蓝牙连接"),
    steps(
        "短按机身按键，绿灯闪烁，蓝牙开启 120 秒。",
        "在手机 App 中选择“附近设备”，点选对应的序列号。",
        "输入配对码，出厂为 0000，首次连接后请修改。",
    ),
    h2("4.2 编辑程序"),
    items(
        "可按每天、按星期或每隔 1～15 天运行。",
        "同一程序内各路按编号顺序依次运行。",
        "季节调整范围为 10%～200%。",
        "手动开阀 20 分钟后自动关闭。",
    ),
    h2("4.3 加入网关"),
    para(
        "先打开网关的入网窗口，再长按机身按键 6 秒，绿灯常亮 3 秒表示入网成功。入网后每 15 分钟与网关通信一次，"
        "因此在平台上修改的程序最长 15 分钟后生效。紧急停水请使用蓝牙，或直接关闭手动总阀。"
    ),
    h1("5 指示灯与故障"),
    para("红灯每隔 10 秒闪烁一组，按闪烁次数判断故障："),
    table(
        (36, 48, 90),
        ("闪烁次数", "含义", "处理办法"),
        ("2 次", "电池电量低", "两周内更换电池"),
        ("3 次", "阀线断路", "检查接头和线圈，好的线圈为 3～10 欧"),
        ("4 次", "阀线短路", "检查接头是否进水"),
        ("5 次", "与网关失去联系", "检查网关，程序仍按时执行"),
        ("6 次", "时钟丢失", "用手机重新对时"),
    ),
    para("电压过低时，控制器会先关闭全部阀门，再停止工作，以免阀门停在打开位置。"),
    h2("5.1 常见现象"),
    table(
        (62, 112),
        ("现象", "可能原因"),
        ("手机搜不到设备", "距离超过 8 米，或蓝牙已自动关闭"),
        ("阀打开后关不上", "线圈极性接反，或膜片下有砂粒"),
        ("到点不浇水", "雨量开关断开；程序设为停用；固件低于 2.1.3"),
        ("浇水时间变长", "检查季节调整是否大于 100%"),
    ),
    h1("6 维护与越冬"),
    table(
        (52, 122),
        ("时间", "内容"),
        ("每月", "清洗过滤器，检查有无漏水"),
        ("每半年", "检查密封圈，涂少量硅脂"),
        ("入冬前", "排空管道，取出电池，移至室内"),
        ("开春后", "装入新电池，逐路试水 2 分钟"),
    ),
    para("本机低于 -5 ℃ 不能工作，冬季不要留在室外。室内存放时取出电池，避免电池漏液腐蚀触点。"),
    h1("7 恢复出厂设置"),
    para("装着电池时按住按键 15 秒，红绿灯交替闪烁后松开。恢复出厂后程序全部清除，配对码恢复为 0000，但不退出网关。"),
    h1("8 注意事项"),
    items(
        "不得用于饮用水、消防和燃气管道。",
        "检修管道前先关闭手动总阀，并取出电池。",
        "施肥时肥液浓度不要超过 0.3%，施肥结束后用清水冲洗管道 10 分钟。",
        "废电池请按当地规定分类回收。",
    ),
    para("保修期限和送修办法见《售后服务政策》，序列号在机身背面。"),
)

# --- support/repair-centre-procedure.docx -------------------------------------------

DOCX_TITLE = "Repair centre procedure"
DOCX_NOTE = "Procedure RC-01, version 8, 3 March 2025. For the staff of the repair centre in Norwich."
DOCX_BODY: tuple[tuple[str, Any], ...] = (
    ("h1", "1 Receiving"),
    ("p", "Every device gets a job card on the day it arrives. Nothing is opened before the card is printed."),
    (
        "ol",
        (
            "Read the RMA number on the outside. Parcels without a number are refused at the door.",
            "Photograph the device from four sides.",
            "Enter the serial number; the system shows the delivery date and the warranty status.",
            "Remove primary batteries and put them into the yellow drum.",
            "Put the device on the shelf for its product group.",
        ),
    ),
    (
        "p",
        "Devices that were in a field with notifiable plant disease stay in a sealed bag in the quarantine locker "
        "for 10 days before anybody opens them.",
    ),
    ("h1", "2 Inspection"),
    (
        "p",
        "The inspection must be finished within 3 working days. A device counts as fault-free only after two "
        "technicians have tested it on different days.",
    ),
    ("h2", "2.1 Soil probes"),
    (
        "ul",
        (
            "Reference water at 22 °C: every ring must read between 58 and 60 %.",
            "Dry glass beads: every ring must read less than 3 %.",
            "Pressure test of the head: 0.3 bar for 30 minutes under water, no bubbles.",
        ),
    ),
    ("h2", "2.2 Valve controllers"),
    (
        "ul",
        (
            "All stations with a dummy coil, 500 switching cycles.",
            "Burn-in of 24 hours at 40 °C with the latest firmware.",
            "VC-8S: capacity of the battery, replace it below 4.5 Ah.",
        ),
    ),
    ("h2", "2.3 Gateways"),
    (
        "ul",
        (
            "Radio test with 40 simulated devices for 2 hours.",
            "GW-3: registration in the test network with the workshop SIM.",
        ),
    ),
    ("h1", "3 Repairs outside the warranty"),
    (
        "p",
        "The customer gets a quotation before any work starts. A quotation is valid for 30 days. The prices below "
        "are flat rates without VAT and without transport.",
    ),
    (
        "table",
        (
            ("Product", "Flat rate", "Remark"),
            ("FP-20", "£32", "replaced by a reconditioned probe"),
            ("FP-40", "£55", "includes new cap and seals"),
            ("FP-60", "£95", "includes the cell"),
            ("FP-60, change of cell only", "£48", ""),
            ("VC-4", "£44", ""),
            ("VC-8", "£78", "transformer not included"),
            ("VC-8S", "£84", "battery not included"),
            ("GW-2", "£39", ""),
            ("GW-3", "£92", "antennas not included"),
        ),
    ),
    (
        "p",
        "If the customer declines the quotation, the inspection fee of £35 is charged and the device goes back "
        "unrepaired. With a repair the fee is not charged.",
    ),
    ("h1", "4 Sending back"),
    (
        "p",
        "Repaired devices leave with the latest firmware, the factory settings and a test record. The customer's "
        "own settings are not restored by the repair centre.",
    ),
    ("p", "If nobody answers three reminders, the device is recycled 90 days after the quotation."),
    ("h1", "5 Records"),
    (
        "p",
        "Job cards and photographs are kept for 6 years. Faults that appear more than five times in a month on "
        "one model are reported to the design department on the first Tuesday of the next month.",
    ),
)

# --- sales/dealer-training-2025.pptx ------------------------------------------------

SLIDES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "Dealer training 2025",
        ("Hallowfen Instruments, sales department", "For dealers in the UK, Ireland and the EU"),
        "Welcome. The talk takes 40 minutes, questions at the end.",
    ),
    (
        "Why certification",
        (
            "Certified dealers had 38 % fewer support tickets per device in 2024",
            "From 1 January 2026 only certified dealers may sell the VC-8S and the GW-3",
            "At least one certified person per branch",
        ),
        "The requirement is per branch, not per company. Two branches need two people.",
    ),
    (
        "Levels of the course",
        (
            "Level 1: online, 3 hours, products and radio planning",
            "Level 2: two days in Norwich, wiring and fault finding",
            "Level 2 needs a pass in Level 1 not older than 6 months",
            "Pass mark 80 %, second try after 14 days at the earliest",
        ),
        "Level 2 groups have 12 people at most.",
    ),
    (
        "Dates and fees",
        (
            "Level 1: any time, free of charge",
            "Level 2: 16 and 17 September 2025, 18 and 19 November 2025",
            "Fee for Level 2: £240 per person, free for Gold dealers (two people a year)",
            "Cancel up to 10 days before the course free of charge, later 50 %",
        ),
        "Hotel rooms at the partner hotel are held until three weeks before the course.",
    ),
    (
        "Dealer status",
        (
            "Bronze: certified, no minimum turnover, 15 % discount",
            "Silver: from £25,000 a year, 22 % discount",
            "Gold: from £60,000 a year, 28 % discount, advance replacement",
            "Status is checked every April",
        ),
        "Taiwan has its own discount table.",
    ),
    (
        "Demo kit",
        (
            "One FP-40, one FP-60, one VC-4 and one GW-3 in a case",
            "£390 instead of £1,140; one kit per branch and two years",
            "May be sold as used after 12 months",
        ),
        "Orders for the demo kit go to the sales office, not through the web shop.",
    ),
    (
        "Next steps",
        (
            "Name your participants by 29 August 2025: training@hallowfen.example",
            "The certificate is valid for 24 months",
            "A refresher online takes 90 minutes",
        ),
        "Send the slides to all participants after the talk.",
    ),
)

# --- sales/租赁设备价格2025.xlsx -------------------------------------------------------

SHEETS: tuple[tuple[str, tuple[tuple[str | int, ...], ...]], ...] = (
    (
        "租赁价格",
        (
            ("设备", "可租数量", "日租金（元）", "周租金（元）", "月租金（元）", "押金（元）"),
            ("FP-40 探头", 60, 12, 60, 180, 800),
            ("FP-60 探头", 40, 20, 100, 300, 1500),
            ("HR-1 手持读数仪", 15, 35, 180, 500, 2000),
            ("WS-10 气象站", 8, 60, 320, 900, 4000),
            ("GW-3 网关（含太阳能套件）", 20, 45, 240, 680, 3000),
            ("VC-8S 控制器", 10, 40, 210, 600, 2500),
        ),
    ),
    (
        "租赁规则",
        (
            ("条目", "规定"),
            ("最短租期", "3 天，不足 3 天按 3 天计"),
            ("起租日", "以签收次日为起租日"),
            ("归还", "到期后 2 天内寄出，逾期按日租金的 1.5 倍计收"),
            ("运费", "寄出运费由公司承担，归还运费由客户承担"),
            ("押金退还", "验收合格后 5 个工作日内原路退还"),
            ("租转购", "租满 3 个月可转为购买，已付租金的 60% 抵扣货款"),
            ("高校优惠", "高校和科研院所凭证明享受租金 8 折，押金不减"),
        ),
    ),
    (
        "损坏赔偿",
        (
            ("情形", "赔偿标准"),
            ("外壳划痕，不影响使用", "不收费"),
            ("天线或顶盖损坏", "按配件价格表收取"),
            ("探头进水（非质量原因）", "押金的 50%"),
            ("设备丢失", "押金不退，差额按定价八折补足"),
        ),
    ),
)


class Manual(FPDF):
    """A PDF with the footer that all Hallowfen manuals have."""

    def __init__(self, family: str, footer_text: str, page_word: str) -> None:
        """Remember the font family and the words of the footer."""
        super().__init__(format="A4")
        self.family = family
        self.footer_text = footer_text
        self.page_word = page_word
        self.set_margins(18, 18, 18)
        self.set_auto_page_break(True, margin=22)
        self.set_creation_date(STAMP)
        self.set_producer("fpdf2")
        self.set_author(COMPANY)

    def footer(self) -> None:
        """Write the footer of one page."""
        self.set_y(-15)
        self.set_font(self.family, size=8)
        self.set_text_color(110)
        self.cell(140, 5, self.footer_text)
        self.cell(0, 5, self.page_word.format(self.page_no()), align="R")
        self.set_text_color(0)


def wrap(pdf: FPDF, text: str, width: float) -> list[str]:
    """Break a text into lines; Latin words stay whole, no line starts with a closing mark."""
    parts = re.findall(r"[^\s\u2e80-\uffef]+|\s+|.", text)
    lines: list[str] = []
    line = ""
    for part in parts:
        fits = pdf.get_string_width(line + part) <= width
        closing = len(part) == 1 and part in "，。；：、！？）》”’"
        if fits or not line or closing:
            line += part
        else:
            lines.append(line.rstrip())
            line = part.lstrip()
    if line.strip():
        lines.append(line.rstrip())
    return lines


def write_lines(pdf: Manual, text: str, height: float, indent: float = 0, mark: str = "") -> None:
    """Write a paragraph line by line, with an optional mark in front of the first line."""
    lines = wrap(pdf, text, pdf.epw - indent - 2)
    if pdf.will_page_break(height * min(len(lines), 2)):
        pdf.add_page()
    for number, line in enumerate(lines):
        if indent:
            pdf.cell(indent, height, mark if number == 0 else "")
        pdf.cell(0, height, line, new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def write_table(pdf: Manual, block: Block, bold: str) -> None:
    """Write a table with thin rules."""
    height = 6.6
    if pdf.will_page_break(height * len(block.rows)):
        pdf.add_page()
    pdf.set_draw_color(150)
    for number, row in enumerate(block.rows):
        head = number == 0
        pdf.set_font(pdf.family, bold if head else "", 9.5)
        pdf.set_fill_color(226, 236, 222)
        for text, width in zip(row, block.widths, strict=True):
            if pdf.get_string_width(text) > width - 2:
                raise ValueError(f"table cell too long: {text}")
            pdf.cell(width, height, text, border=1, fill=head)
        pdf.ln(height)
    pdf.ln(3)


def write_block(pdf: Manual, block: Block, bold: str) -> None:
    """Write one block of a manual."""
    if block.kind in ("h1", "h2"):
        level = 0 if block.kind == "h1" else 1
        if pdf.will_page_break(26):
            pdf.add_page()
        pdf.ln(3 if level == 0 else 1)
        pdf.start_section(block.text, level=level)
        pdf.set_font(pdf.family, bold, 14 if level == 0 else 11.5)
        pdf.cell(0, 8 if level == 0 else 7, block.text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    elif block.kind == "table":
        write_table(pdf, block, bold)
    else:
        pdf.set_font(pdf.family, "", 10.5)
        if block.kind == "p":
            write_lines(pdf, block.text, 5.6)
        for number, (text,) in enumerate(block.rows, 1):
            write_lines(pdf, text, 5.6, indent=7, mark=f"{number}." if block.kind == "ol" else "\u00b7")
        pdf.ln(2)


def build_manual(pdf: Manual, title: str, subtitle: str, note: str, blocks: tuple[Block, ...], bold: str) -> None:
    """Write title and blocks of a manual."""
    pdf.set_title(f"{title}: {subtitle}")
    pdf.set_subject(note)
    pdf.add_page()
    pdf.set_font(pdf.family, bold, 22)
    pdf.cell(0, 12, title, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font(pdf.family, "", 14)
    pdf.cell(0, 9, subtitle, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font(pdf.family, "", 9.5)
    pdf.cell(0, 6, note, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(3)
    for block in blocks:
        write_block(pdf, block, bold)


def make_english_pdf(target: Path) -> None:
    """Make the manual of the VC-8 and VC-8S."""
    pdf = Manual("helvetica", EN_FOOTER, "page {}")
    pdf.set_lang("en")
    build_manual(pdf, EN_TITLE, EN_SUBTITLE, EN_NOTE, EN_BLOCKS, bold="B")
    pdf.output(str(target))


def make_chinese_pdf(target: Path, font: Path) -> None:
    """Make the manual of the VC-4 with the glyphs of the font that it uses."""
    pdf = Manual("hanzi", ZH_FOOTER, "第 {} 页")
    pdf.set_lang("zh-CN")
    pdf.add_font("hanzi", fname=str(font))
    build_manual(pdf, ZH_TITLE, ZH_SUBTITLE, ZH_NOTE, ZH_BLOCKS, bold="")
    pdf.output(str(target))


def make_docx(target: Path) -> None:
    """Make the procedure of the repair centre."""
    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author, properties.last_modified_by = DOCX_TITLE, COMPANY, COMPANY
    properties.comments = ""
    properties.created = properties.modified = STAMP.replace(tzinfo=None)
    document.styles["Normal"].font.size = Pt(11)
    document.add_heading(DOCX_TITLE, 0)
    document.add_paragraph(DOCX_NOTE)
    for kind, content in DOCX_BODY:
        if kind in ("h1", "h2"):
            document.add_heading(content, int(kind[1]))
        elif kind == "p":
            document.add_paragraph(content)
        elif kind in ("ol", "ul"):
            for text in content:
                document.add_paragraph(text, style="List Number" if kind == "ol" else "List Bullet")
        else:
            grid = document.add_table(rows=0, cols=len(content[0]), style="Table Grid")
            for row in content:
                for cell, text in zip(grid.add_row().cells, row, strict=True):
                    cell.text = text
            document.add_paragraph()
    document.save(str(target))


def make_pptx(target: Path) -> None:
    """Make the slides of the dealer training."""
    deck = pptx.Presentation()
    deck.slide_width, deck.slide_height = Inches(10), Inches(7.5)
    properties = deck.core_properties
    properties.title, properties.author, properties.last_modified_by = SLIDES[0][0], COMPANY, COMPANY
    properties.comments = ""
    properties.created = properties.modified = STAMP.replace(tzinfo=None)
    for number, (title, lines, notes) in enumerate(SLIDES):
        slide = deck.slides.add_slide(deck.slide_layouts[0 if number == 0 else 1])
        heading = slide.shapes.title
        if heading is not None:
            heading.text = title
        body: Any = slide.placeholders[1]
        body.text_frame.text = "\n".join(lines)
        notes_frame = slide.notes_slide.notes_text_frame
        if notes_frame is not None:
            notes_frame.text = notes
    deck.save(str(target))


def make_xlsx(target: Path) -> None:
    """Make the price list of the rental devices."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    book.properties.creator = book.properties.lastModifiedBy = COMPANY
    book.properties.created = STAMP.replace(tzinfo=None)
    for name, rows in SHEETS:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for column, letter in enumerate("ABCDEF"[: len(rows[0])]):
            sheet.column_dimensions[letter].width = 6 + 2 * max(len(str(row[column])) for row in rows)
        sheet.freeze_panes = "A2"
    book.save(target)


def fix_times(path: Path) -> None:
    """Write an Office file again with fixed times in the archive and in its properties."""
    stamp = STAMP.strftime("%Y-%m-%dT%H:%M:%SZ").encode("ascii")
    pattern = re.compile(rb"(<dcterms:modified[^>]*>)[^<]*(</dcterms:modified>)")
    with zipfile.ZipFile(path) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, blob in members:
            data = pattern.sub(rb"\g<1>" + stamp + rb"\g<2>", blob) if name == "docProps/core.xml" else blob
            info = zipfile.ZipInfo(name, date_time=STAMP.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)


def main(argv: list[str] | None = None) -> int:
    """Make all files below the output folder and report their sizes."""
    parser = argparse.ArgumentParser(description="make the binary sample documents")
    parser.add_argument("--font", type=Path, required=True, help="TrueType font with Chinese glyphs")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write below (default: beside this script)")
    args = parser.parse_args(argv)
    if not args.font.is_file():
        sys.stderr.write(f"no such font: {args.font}\n")
        return 2
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    targets = [args.out / name for name in (EN_PDF, ZH_PDF, DOCX, PPTX, XLSX)]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    make_english_pdf(targets[0])
    make_chinese_pdf(targets[1], args.font)
    make_docx(targets[2])
    make_pptx(targets[3])
    make_xlsx(targets[4])
    for target in targets[2:]:
        fix_times(target)
    for target in targets:
        sys.stdout.write(f"{target.stat().st_size:8d}  {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
